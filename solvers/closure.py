"""The neural part of the surrogate: an ensemble of small networks in torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Ensemble", "train_ensemble"]


class Ensemble(torch.nn.Module):
    """Several multilayer perceptrons side by side, with inputs and outputs standardised.

    Parameters
    ----------
    inputs, outputs : int
    members : int
    hidden : int
        Width of each of the two hidden layers.
    generator : torch.Generator, optional
        Draws the first weights.
    """

    input_mean: torch.Tensor
    input_scale: torch.Tensor
    output_mean: torch.Tensor
    output_scale: torch.Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        members: int,
        hidden: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [inputs, hidden, hidden, outputs]
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for before, after in itertools.pairwise(sizes):
            scale = math.sqrt(2.0 / before) if after != outputs else math.sqrt(0.1 / before)
            draw = torch.randn(members, before, after, generator=generator) * scale
            self.weights.append(torch.nn.Parameter(draw))
            self.biases.append(torch.nn.Parameter(torch.zeros(members, 1, after)))
        for name, size in (("input", inputs), ("output", outputs)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def standardised(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of every member in standard units, shape (member, row, output)."""
        x = ((inputs - self.input_mean) / self.input_scale).clamp(-6.0, 6.0)
        x = x.expand(self.weights[0].shape[0], *x.shape[-2:])
        last = len(self.weights) - 1
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if k < last:
                x = torch.nn.functional.silu(x)
        return x

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of every member, shape (member, row, output)."""
        return self.standardised(inputs) * self.output_scale + self.output_mean

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments that make an ensemble of this shape."""
        first, last = self.weights[0], self.weights[-1]
        return {
            "inputs": first.shape[1],
            "outputs": last.shape[2],
            "members": first.shape[0],
            "hidden": first.shape[2],
        }

    @torch.no_grad()
    def predict(self, inputs: NDArray) -> NDArray[np.float64]:
        """Outputs of every member for an array of inputs, shape (member, row, output)."""
        return self(torch.as_tensor(inputs, dtype=torch.float32)).double().numpy()


def train_ensemble(
    inputs: NDArray,
    outputs: NDArray,
    *,
    members: int,
    hidden: int,
    steps: int,
    seed: int,
    weight: NDArray | None = None,
    output_weight: NDArray | None = None,
    batch: int = 512,
    rate: float = 3e-3,
    report: Callable[[float], None] | None = None,
) -> Ensemble:
    """Fit an ensemble to rows of inputs and outputs, each member on its own resampling.

    Parameters
    ----------
    inputs : ndarray, shape (run, time, input)
    outputs : ndarray, shape (run, time, output)
        Each member sees a random nine tenths of the runs.
    weight : ndarray, shape (run, time), optional
        Importance of each row.
    output_weight : ndarray, shape (output,), optional
        Importance of each output, in standard units.
    steps, batch, rate
        Of the optimiser (AdamW with a one-cycle rate and a Huber loss).
    """
    generator = torch.Generator().manual_seed(seed)
    runs, times, width = inputs.shape
    x = torch.as_tensor(inputs.reshape(-1, width), dtype=torch.float32)
    y = torch.as_tensor(outputs.reshape(runs * times, -1), dtype=torch.float32)
    w = torch.ones(len(x)) if weight is None else torch.as_tensor(weight.reshape(-1)).float()
    model = Ensemble(width, y.shape[1], members=members, hidden=hidden, generator=generator)
    model.input_mean.copy_(x.mean(0))
    model.input_scale.copy_(x.std(0).clamp_min(1e-6))
    model.output_mean.copy_(y.mean(0))
    model.output_scale.copy_(y.std(0).clamp_min(1e-6))
    target = (y - model.output_mean) / model.output_scale
    importance = (
        torch.ones(y.shape[1]) if output_weight is None else torch.as_tensor(output_weight).float()
    )
    rows = []
    for _ in range(members):
        chosen = torch.randperm(runs, generator=generator)[: max(1, round(0.9 * runs))]
        rows.append((chosen[:, None] * times + torch.arange(times)).reshape(-1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        pick = torch.stack([r[torch.randint(len(r), (batch,), generator=generator)] for r in rows])
        predicted = model.standardised(x[pick])
        loss = torch.nn.functional.huber_loss(predicted, target[pick], reduction="none", delta=0.5)
        loss = (loss * importance * w[pick][..., None]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cycle.step()
        if report is not None and step % 50 == 0:
            report((step + 1) / steps)
    return model.eval()
