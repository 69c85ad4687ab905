"""What a patient file says that a fit needs: scans, treatment given, unknowns and their priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solvers.calibration.scans import default_unknowns
from solvers.calibration.unknowns import Unknowns
from twin.assemble import read_written
from twin.building import load
from twin.errors import InvalidInput
from twin.follow_up import CalibrationTable, FollowUp, mask_on_grid, read_follow_ups
from twin.parameters import LogNormal, ParameterSet
from twin.patient import Structure, Twin
from twin.patient_file import operation_name
from twin.protocol import Progress
from twin.regimen import Regimen
from twin.storage import sha256_of
from twin.units import parse_quantity

__all__ = ["Case", "read_case"]


@dataclass(frozen=True, slots=True)
class Case:
    """A patient with follow-up scans, ready to be fitted.

    Parameters
    ----------
    path : Path
        Of ``patient.toml``.
    twin : Twin
    follow_ups : tuple of FollowUp
    regimen : Regimen
        Treatment given since day 0.
    unknowns : Unknowns
    how : CalibrationTable
    """

    path: Path
    twin: Twin
    follow_ups: tuple[FollowUp, ...]
    regimen: Regimen
    unknowns: Unknowns
    how: CalibrationTable

    @property
    def inputs(self) -> str:
        """Hash of all that the fit depends on, but its own options."""
        return sha256_of(
            {
                "twin": self.twin.content_hash,
                "parameters": self.unknowns.base.as_dict(),
                "unknowns": list(self.unknowns.names),
                "regimen": self.regimen.as_dict(),
                "how": self.how.model_dump(mode="json"),
                "scans": [[scan.day, scan.timing] for scan in self.follow_ups],
            },
            *(np.packbits(scan.core).tobytes() for scan in self.follow_ups),
            *(np.packbits(scan.whole).tobytes() for scan in self.follow_ups),
        )


def read_case(
    path: str | Path, unknowns: Sequence[str] = (), *, progress: Progress | None = None
) -> Case:
    """A patient with follow-up scans from ``patient.toml`` or the folder that holds it.

    Parameters
    ----------
    path : path
    unknowns : sequence of str
        What to fit; what the file says, or what the scans can tell about, if empty.
    progress : callable or None
        Of the meshing.

    Raises
    ------
    InvalidInput
        No follow-up scan, one that cannot be used, an unknown without a prior.
    """
    file = Path(path)
    file = file / "patient.toml" if file.is_dir() else file
    if file.parent.is_dir() and not file.exists():
        raise InvalidInput(
            f"There is no {file}; a fit needs the patient.toml that names the follow-up scans."
        )
    content, parameters, _ = read_written(file)
    if not content.follow_up:
        raise InvalidInput(
            f"{file.name} has no [[follow_up]], so that nothing tells how the tumour grows; add "
            "scans after the reference visit, each with its date and segmentation."
        )
    try:
        regimen = content.given.regimen(content.calendar, after=True)
    except InvalidInput as error:
        raise InvalidInput(f"{file.name}: {error}") from None
    how = content.calibration
    parameters = _with_priors(parameters, how, file.name)
    twin = load(file, progress=progress).replace(parameters=parameters)
    scans = read_follow_ups(content, file.parent, twin.grid, twin.tissues > 0, file.name)
    cavities = {
        operation_name(number): Structure(
            mask_on_grid(file.parent / past.cavity, twin.grid), "tumour", source="cavity"
        )
        for number, past in enumerate(content.given.resection)
    }
    if cavities:
        twin = twin.replace(structures={**twin.structures, **cavities})
    names = tuple(unknowns) or how.unknowns or tuple(default_unknowns(twin, regimen))
    return Case(file, twin, tuple(scans), regimen, Unknowns.of(names, parameters), how)


def _with_priors(parameters: ParameterSet, how: CalibrationTable, where: str) -> ParameterSet:
    """The set with this patient's own priors, whose medians are also its values."""
    for name, table in how.priors.items():
        place = f"{where}: calibration, priors, {name}"
        try:
            median = parse_quantity(table.median, parameters[name].unit, where=place)
            parameters = parameters.with_entry(
                name, value=median, prior=LogNormal(median, table.sigma_ln)
            )
        except InvalidInput as error:
            text = str(error)
            raise InvalidInput(text if text.startswith(where) else f"{place}: {text}") from None
    return parameters
