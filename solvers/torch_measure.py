"""Visible volumes of many runs at once, as tensors, by the formulas of `solvers.volumes`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solvers.models import Model
from solvers.output import Recorder
from solvers.prepared import Prepared
from solvers.torch_block import Instant
from solvers.volumes import TABLE_TOP, softened_table
from twin.events import Removed
from twin.patient import Twin
from twin.protocol import Save

__all__ = ["TensorRecorder", "TensorVolumes", "share_above"]


class TensorRecorder(Recorder):
    """Writes down the outputs of one run of a block.

    On a CPU volumes come from the compiled meter, elsewhere from `TensorVolumes`, so
    that densities need not leave the device.
    """

    def __init__(
        self,
        prepared: Prepared,
        twin: Twin,
        model: Model,
        save: Save,
        times: NDArray[np.float64],
        field_times: NDArray[np.float64],
        device: torch.device,
    ) -> None:
        super().__init__(prepared, twin, model, save, times, field_times)
        self._device = device
        self._masses: dict[Removed, NDArray[np.float64]] = {}

    def record_instant(self, instant: Instant) -> None:
        """Write down one output."""
        rows, day = self._model.rows, instant.day
        if day in self._wanted:
            k, levels = self._wanted[day], list(self.thresholds.values())
            for names, numbers in self._groups.items():
                chosen = tuple(levels[n] for n in numbers)
                density = instant.total(rows(*names))
                self._volumes[:, numbers, k] = self._measured(instant, chosen, density)
            if self._alive:
                living = instant.total(rows(*self._alive)).cpu().double().numpy()
                self._check(day, float(living.max(initial=0.0)))
                self._burden[k] = float(self._mass(instant.removed) @ living)
                self._fewest.offer(day, self._burden[k], living.copy)
        if day in self._fields:
            k = self._fields[day]
            self._density[k] = instant.total(rows(*self._model.visible)).cpu().numpy()
            for name, values in self._species.items():
                values[k] = instant.total(rows(name)).cpu().numpy()

    def _mass(self, removed: Removed) -> NDArray[np.float64]:
        if removed not in self._masses:
            active = self._prepared.active_cells(removed)
            self._masses[removed] = self._prepared.operators.lumped_mass(active)
        return self._masses[removed]

    def _measured(
        self, instant: Instant, levels: tuple[float, ...], density: Tensor
    ) -> NDArray[np.float64]:
        """Hard volumes, then softened ones, [mm3], shape (2, threshold)."""
        if self._device.type == "cpu":
            meter = self._prepared.meter(instant.removed, levels, self._softness)
            return meter.measure(density.double().contiguous().numpy())
        on_device = TensorVolumes.of(
            self._prepared, instant.removed, levels, self._softness, self._device
        )
        return on_device.measure(density)


class TensorVolumes:
    """Measures hard and softened volumes of one mesh at several thresholds.

    Sums are taken in double precision; on a device that has none ("mps") the
    densities come to the CPU for it.

    Parameters
    ----------
    cells : ndarray, shape (cell, 4)
        The active elements.
    cell_volume : ndarray, [mm3], shape (cell,)
    mass : ndarray, [mm3], shape (node,)
    thresholds : sequence of float, [1]
    softness : float, [1]
    """

    def __init__(
        self,
        cells: NDArray[np.int32],
        cell_volume: NDArray[np.float64],
        mass: NDArray[np.float64],
        thresholds: Sequence[float],
        softness: float,
        device: torch.device,
    ) -> None:
        self._device = torch.device("cpu") if device.type == "mps" else device
        self._corners = [self._placed(cells[:, k].astype(np.int64)) for k in range(4)]
        self._volume = self._placed(cell_volume)
        self._mass = self._placed(mass)
        self._levels = [float(level) for level in thresholds]
        self._table = self._placed(softened_table(thresholds, softness))

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        removed: Removed,
        thresholds: tuple[float, ...],
        softness: float,
        device: torch.device,
    ) -> TensorVolumes:
        """Measures a twin's mesh after these resections; remembered there."""

        def make() -> TensorVolumes:
            mesh, active = prepared.twin.mesh, prepared.active_cells(removed)
            mass = prepared.operators.lumped_mass(active)
            cells, volume = mesh.cells[active], mesh.cell_volume[active]
            return cls(cells, volume, mass, thresholds, softness, device)

        key = ("tensor meter", removed, thresholds, softness, device)
        found: TensorVolumes = prepared._remember(key, make)
        return found

    def measure(self, density: Tensor) -> NDArray[np.float64]:
        """Hard volumes of one density, then softened ones, [mm3], shape (2, threshold)."""
        column = density[:, None]
        return torch.stack([self.hard(column), self.soft(column)])[..., 0].cpu().numpy()

    def _placed(self, values: NDArray) -> Tensor:
        return torch.tensor(values, device=self._device)

    def total(self, density: Tensor) -> Tensor:
        """Integral of a density over the active tissue, [mm3], shape ()."""
        return self._mass @ density.to(self._device).double()

    def soft(self, density: Tensor) -> Tensor:
        """Softened volumes, [mm3], shape (threshold, run); differentiable."""
        v = density.to(self._device).double()
        size = self._table.shape[1]
        x = (v * ((size - 1) / TABLE_TOP)).clamp(max=size - 1.000001)
        place = x.detach().clamp(min=0.0).long()
        share = x - place
        seen = (v >= 1e-9).double()
        return torch.stack(
            [
                self._mass @ (seen * ((1.0 - share) * row[place] + share * row[place + 1]))
                for row in self._table
            ]
        )

    def hard(self, density: Tensor) -> Tensor:
        """Volumes above the thresholds, cut exactly in elements, [mm3], shape (threshold, run)."""
        v = density.detach().to(self._device).double()
        found = torch.empty((len(self._levels), v.shape[1]), dtype=v.dtype, device=v.device)
        for run in range(v.shape[1]):
            column = v[:, run].contiguous()
            corners = [column[each] for each in self._corners]
            low = torch.minimum(torch.minimum(*corners[:2]), torch.minimum(*corners[2:]))
            high = torch.maximum(torch.maximum(*corners[:2]), torch.maximum(*corners[2:]))
            for row, level in enumerate(self._levels):
                cut = torch.nonzero((low <= level) & (high > level)).ravel()
                share = share_above(torch.stack([each[cut] for each in corners]), level)
                found[row, run] = self._volume @ (low > level).double()
                found[row, run] += self._volume[cut] @ share
        return found


def share_above(corners: Tensor, level: float) -> Tensor:
    """Share of tetrahedra in which a linear function exceeds `level`, shape (cell,).

    Parameters
    ----------
    corners : Tensor, shape (4, cell)
        Values at the corners, some above the level and some not.

    Examples
    --------
    >>> share_above(torch.tensor([[1.0], [0.0], [0.0], [0.0]]), 0.5)
    tensor([0.1250])
    """
    a, b, c, d = corners.sort(dim=0, descending=True).values
    count = (corners > level).sum(dim=0)
    one = (a - level) ** 3 / ((a - b) * (a - c) * (a - d))
    three = 1.0 - (level - d) ** 3 / ((a - d) * (b - d) * (c - d))
    # two above: a prism between the corners a and b, cut into three tetrahedra
    ac, ad = (a - level) / (a - c), (a - level) / (a - d)
    bc, bd = (b - level) / (b - c), (b - level) / (b - d)
    two = ac * ad + bc * bd * (1.0 - ad) + bc * ad * (1.0 - ac)
    return torch.where(count == 1, one, torch.where(count == 2, two, three))
