"""A small network that the tests train by themselves, and images for it."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np

SIDE = 32
CORE_MM, WHOLE_MM = 4.0, 8.0

RECIPE = """\
format = 1
name = "small balls"
version = "1"

[input]
channels = ["t1", "flair"]
orientation = "RAS"
spacing = ["1 mm", "1 mm", "1 mm"]
normalisation = "z-score of nonzero"

[patch]
size = [16, 16, 16]
overlap = 0.5

[output]
activation = "softmax"
decision = "argmax"
channel = [
    { name = "background", label = 0 },
    { name = "oedema", label = 2 },
    { name = "core", label = 4 },
]

[expected.flair]
mean = [90.0, 140.0]
"""


def ball_images(centre_mm, seed, *, step=1.0, shape=(SIDE, SIDE, SIDE)):
    """Return t1, flair, true labels and affine: two balls about a centre, sampled every `step`.

    A head of value 100 (noise 5) about the origin; the outer ball is brighter
    in flair, the inner one also in t1. The same tissue is there whatever the
    sampling; only the noise differs.
    """
    step = np.broadcast_to(step, 3)
    affine = np.diag([*step, 1.0])
    affine[:3, 3] = -step * (np.array(shape) - 1) / 2
    places = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    places = places * step + affine[:3, 3]
    head = np.linalg.norm(places, axis=-1) < 15.0
    distance = np.linalg.norm(places - np.array(centre_mm), axis=-1)
    labels = np.where(distance < CORE_MM, 4, np.where(distance < WHOLE_MM, 2, 0)) * head
    noise = np.random.default_rng(seed).normal(0, 5, (2, *shape))
    t1 = np.where(head, 100 + 60 * (labels == 4) + noise[0], 0)
    flair = np.where(head, 100 + 60 * (labels > 0) + noise[1], 0)
    return t1.astype(np.float32), flair.astype(np.float32), labels.astype(np.uint8), affine


def write_image(path, data, affine):
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def train(steps=120):
    """Return the network, trained for a second or two."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = torch.nn.Sequential(
        torch.nn.Conv3d(2, 6, 3, padding=1),
        torch.nn.LeakyReLU(0.1),
        torch.nn.Conv3d(6, 12, 1),
        torch.nn.LeakyReLU(0.1),
        torch.nn.Conv3d(12, 3, 1),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    generator = np.random.default_rng(1)
    index = np.array([0, 0, 1, 0, 2])
    box = (slice(6, 26),) * 3  # the balls with enough around them
    cases = []
    for seed in range(4):
        t1, flair, labels, _ = ball_images(generator.uniform(-4, 4, 3), seed)
        inside = t1 != 0
        channels = [
            np.where(inside, (image - image[inside].mean()) / image[inside].std(), 0)
            for image in (t1, flair)
        ]
        volume = np.stack([channel[box] for channel in channels]).astype(np.float32)
        cases.append((volume, index[labels[box]]))
    for step in range(steps):
        volume, target = cases[step % len(cases)]
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            network(torch.from_numpy(volume)[None]),
            torch.from_numpy(target)[None],
            weight=torch.tensor([1.0, 2.0, 4.0]),
        )
        loss.backward()
        optimiser.step()
    return network.eval()


def export(network, folder: Path):
    """Write ``net.onnx`` and ``net.pt`` with their recipe; return their paths."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(1, 2, 16, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of both ways of exporting
        torch.onnx.export(
            network,
            (example,),
            folder / "net.onnx",
            dynamo=False,
            input_names=["image"],
            output_names=["logits"],
        )
        torch.jit.trace(network, example).save(str(folder / "net.pt"))
    (folder / "net.toml").write_text(RECIPE, encoding="utf-8")
    return folder / "net.onnx", folder / "net.pt"
