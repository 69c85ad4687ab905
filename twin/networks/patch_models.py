"""Networks that see a patch at a time and whose recipe says how images are prepared."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.images import Image
from twin.networks.child_process import run_model
from twin.networks.grids import NetworkGrid
from twin.networks.intensities import normalised, outside_expectation, statistics
from twin.networks.models import Model
from twin.networks.onnx_network import OnnxNetwork
from twin.networks.recipe import Recipe, find_recipe
from twin.networks.segmenting import (
    NetworkSegmentation,
    by_role,
    decided,
    image_records,
    model_record,
)
from twin.networks.sliding_window import slide

__all__ = ["prepared", "segment_by_patches"]

_SENTENCES = {
    "z-score of nonzero": "mean 0 and standard deviation 1 over its voxels that are not zero",
    "z-score": "mean 0 and standard deviation 1 over all of its voxels",
    "none": "left as it is",
}


def segment_by_patches(
    images: Mapping[str, Image],
    model: Model,
    *,
    recipe: str | os.PathLike[str] | None,
    time_limit_s: float,
    threads: int,
    progress: Callable[[float, str], None] | None,
) -> NetworkSegmentation:
    """Return labels by an ONNX or TorchScript network; see `twin.networks.segment`."""
    network = OnnxNetwork(model.path, threads=threads) if model.kind == "onnx" else None
    known = find_recipe(
        model.path, given=recipe, metadata={} if network is None else network.metadata
    )
    if network is not None:
        network.check(known)
    ordered = by_role(images, known.input.channels)
    grid = NetworkGrid.of(ordered[0], known.input.spacing, known.input.orientation)
    volume = prepared(ordered, known, grid)
    if network is not None:
        said = None if progress is None else (lambda part: progress(part, "patches"))
        found = slide(
            network,
            volume,
            patch=known.patch.size,
            overlap=known.patch.overlap,
            activation=known.output.activation,
            channels=len(known.output.channel),
            progress=said,
        )
        engine = _onnxruntime()
    else:
        found, engine = _in_child(model, known, volume, time_limit_s, threads)
    probabilities = np.stack([grid.from_network(channel) for channel in found])
    labels, maps = decided(np.clip(probabilities, 0.0, 1.0), known, ordered[0])
    record = model_record(model, name=known.name, version=known.version, engine=engine)
    record["images"] = image_records(known.input.channels, ordered)
    record["recipe"] = known.model_dump(mode="json")
    record["labels"] = {str(number): name for number, name in known.label_names.items()}
    return NetworkSegmentation(
        labels=labels,
        label_names=known.label_names,
        probabilities=maps,
        sentences=_sentences(model, known, grid, volume, engine),
        warnings=_doubts(known, ordered, labels),
        record=record,
    )


def prepared(images: list[Image], recipe: Recipe, grid: NetworkGrid) -> NDArray[np.float32]:
    """Return the network's input: turned, resampled and normalised, shape (channel, i, j, k)."""
    channels = []
    for role, image in zip(recipe.input.channels, images, strict=True):
        values = grid.to_network(image.data, recipe.input.interpolation)
        inside = grid.to_network(image.data != 0, "nearest") > 0.5
        channels.append(normalised(values, recipe.input, inside, role=role))
    return np.stack(channels)


def _in_child(
    model: Model, recipe: Recipe, volume: NDArray[np.float32], time_limit_s: float, threads: int
) -> tuple[NDArray[np.float32], str]:
    def read(folder: Path, answer: Mapping[str, Any]) -> tuple[NDArray[np.float32], str]:
        return np.load(folder / "result.npy"), str(answer["version"])

    return run_model(
        {
            "kind": model.kind,
            "model": str(model.path.resolve()),
            "threads": threads,
            "patch": list(recipe.patch.size),
            "overlap": recipe.patch.overlap,
            "activation": recipe.output.activation,
            "channels": len(recipe.output.channel),
        },
        write=lambda folder: np.save(folder / "volume.npy", volume),
        read=read,
        time_limit_s=time_limit_s,
    )


def _onnxruntime() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def _sentences(
    model: Model, recipe: Recipe, grid: NetworkGrid, volume: NDArray[np.float32], engine: str
) -> tuple[str, ...]:
    spacing = " x ".join(f"{side:g}" for side in recipe.input.spacing)
    size = " x ".join(map(str, volume.shape[1:]))
    window = recipe.input.window
    if window is not None:
        scaling = f"{window[0]:g} to {window[1]:g} mapped to 0 to 1 and cut off beyond"
    else:
        scaling = _SENTENCES[recipe.input.normalisation]
    change = (
        f"resampled ({recipe.input.interpolation}) to voxels of {spacing} mm ({size})"
        if grid.changes_voxels
        else f"used in its own voxels of {spacing} mm ({size})"
    )
    version = f" {recipe.version}" if recipe.version else ""
    decision = (
        "each voxel got the most probable channel's label"
        if recipe.output.decision == "argmax"
        else "channels were drawn over one another where they reach their threshold"
    )
    return (
        f'The {model.kind_name} network "{recipe.name}"{version} (SHA-256 {model.sha256[:16]}...) '
        f"was run by {engine} on the processor.",
        f"Each image ({', '.join(recipe.input.channels)}) was {change}, axes "
        f"{recipe.input.orientation}, and its intensities: {scaling}.",
        f"A window of {' x '.join(map(str, recipe.patch.size))} voxels slid over it with "
        f"{100 * recipe.patch.overlap:.0f} % overlap and Gaussian weights; probabilities were "
        f"brought back to the image's voxels and {decision}.",
    )


def _doubts(recipe: Recipe, images: list[Image], labels: Image) -> tuple[str, ...]:
    doubts: list[str] = []
    nonzero = recipe.input.normalisation == "z-score of nonzero"
    for role, image in zip(recipe.input.channels, images, strict=True):
        expected = recipe.expected.get(role)
        if expected is not None:
            found = statistics(image.data, nonzero=nonzero)
            doubts += outside_expectation(found, expected, role=role)
        ratio = float((np.array(image.spacing_mm) / min(recipe.input.spacing)).max())
        if ratio > 3.0:
            doubts.append(
                f"The {role} image's voxels are {ratio:.1f} times as long as the network's, so it "
                "sees interpolated values for the most part; doubt the result."
            )
    if not labels.data.any():
        doubts.append("The network found nothing: every voxel is background.")
    return tuple(doubts)
