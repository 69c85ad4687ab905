"""The folder of a fit: runs as they are made, and the posterior when it is done."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.calibration.case import Case
from solvers.calibration.draws import Draws
from solvers.calibration.fit import Fit
from solvers.calibration.problem import Records
from twin.errors import InvalidInput
from twin.results import RESEARCH_USE_ONLY
from twin.storage import FolderLock, storage_errors, write_atomically

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["FitFolder", "draws_of", "posterior_dataset", "write_dataset"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class FitFolder:
    """A folder that a fit is kept in.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def record(self) -> dict[str, Any] | None:
        """What ``fit.json`` says, or None where there is none."""
        try:
            return dict(json.loads((self.path / "fit.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            raise InvalidInput(
                f"{self.path}/fit.json cannot be read as a fit's record; give another folder."
            ) from None

    @property
    def finished(self) -> bool:
        """Whether the posterior is there."""
        return (self.path / "posterior.nc").is_file()

    def begin(self, inputs: str, case: Case) -> None:
        """Make the folder, or go on with the same fit in it.

        Raises
        ------
        InvalidInput
            It holds another fit or other files.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInput(f"{self.path} is a file; give a folder for the fit.")
        record = self.record
        if record is not None and record.get("inputs") != inputs:
            raise InvalidInput(
                f"{self.path} holds another fit (other scans, treatment, unknowns or options); "
                "give another folder, or remove it."
            )
        if record is None and self.path.is_dir() and any(self.path.iterdir()):
            raise InvalidInput(f"{self.path} is not empty and holds no fit; give another folder.")
        if record is None:
            text = json.dumps(
                {
                    "format": FORMAT,
                    "inputs": inputs,
                    "patient": str(case.path.resolve()),
                    "unknowns": list(case.unknowns.names),
                    "regimen": case.regimen.as_dict(),
                    "scans": [scan.date.isoformat() for scan in case.follow_ups],
                    "research_use_only": RESEARCH_USE_ONLY,
                },
                indent=1,
            )
            with storage_errors(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                write_atomically(
                    self.path / "fit.json", lambda part: part.write_text(text, encoding="utf-8")
                )

    def locked(self) -> FolderLock:
        """A lock against a second process in the folder."""
        return FolderLock(self.path)

    def records(self, mesh: str) -> Records:
        """Runs on one mesh that were made already; others are added to the file."""
        file = self.path / f"runs_{mesh}.npz"
        kept = Records(changed=lambda records: self._keep(file, records))
        if file.is_file():
            try:
                with np.load(file, allow_pickle=False) as found:
                    places, errors = found["places"], found["errors"]
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                raise InvalidInput(
                    f"{file} was cut short or edited; remove it, and its runs are made again."
                ) from None
            kept.errors.update(
                (np.ascontiguousarray(row).tobytes(), error)
                for row, error in zip(places, errors, strict=True)
            )
        return kept

    @staticmethod
    def _keep(file: Path, records: Records) -> None:
        unknowns = len(next(iter(records.errors))) // 8
        places, errors = records.arrays(unknowns)
        stream = io.BytesIO()
        np.savez(stream, places=places, errors=errors)
        write_atomically(file, lambda part: part.write_bytes(stream.getvalue()))

    def finish(self, posterior: xr.Dataset) -> None:
        """Write the posterior; the last file, which marks the end."""
        write_dataset(self.path / "posterior.nc", posterior)

    def posterior(self) -> xr.Dataset:
        """The posterior that `finish` wrote.

        Raises
        ------
        InvalidInput
            There is none, or it is not one.
        """
        import xarray as xr

        file = self.path / "posterior.nc"
        if not file.is_file():
            state = "is not finished" if self.record else "holds no fit"
            raise InvalidInput(f"{self.path} {state}; run 'twin calibrate' first.")
        try:
            with xr.open_dataset(file, engine="h5netcdf") as opened:
                return opened.load()
        except (OSError, ValueError, KeyError) as error:
            raise InvalidInput(f"{file} cannot be read as a posterior: {error}.") from None


def write_dataset(file: Path, dataset: xr.Dataset) -> None:
    """Write a dataset as netCDF, whole or not at all."""
    stream = io.BytesIO()
    dataset.to_netcdf(stream, engine="h5netcdf")
    content = stream.getvalue()
    write_atomically(file, lambda part: part.write_bytes(content))


def posterior_dataset(case: Case, fit: Fit, inputs: str) -> xr.Dataset:
    """The posterior as a dataset with units."""
    import xarray as xr

    names, draws = list(fit.unknowns.names), fit.draws
    units = [fit.unknowns.base[name].unit for name in names]
    values = fit.unknowns.values(draws.places)
    dataset = xr.Dataset(
        {
            "value": (("draw", "unknown"), values, {"units": "by unknown_unit"}),
            "coordinate": (("draw", "unknown"), draws.places, {"units": "1"}),
            "weight": ("draw", draws.weights, {"units": "1"}),
            "log_likelihood": ("draw", draws.log_likelihood, {"units": "1"}),
            "most_likely": ("unknown", fit.unknowns.values(fit.estimate.place)),
            "most_likely_coordinate": ("unknown", fit.estimate.place, {"units": "1"}),
            "laplace_covariance": (
                ("unknown", "unknown_too"),
                fit.estimate.covariance,
                {"units": "1", "long_name": "covariance of the coordinates (Laplace)"},
            ),
            "contraction": (
                "unknown",
                fit.contraction,
                {"units": "1", "long_name": "1 - posterior variance / prior variance"},
            ),
            "unknown_unit": ("unknown", units),
        },
        coords={"unknown": names, "unknown_too": names},
        attrs={
            "title": f"posterior of {case.twin.name}",
            "inputs": inputs,
            "format": FORMAT,
            "effective_draws": draws.effective,
            "pareto_k": draws.tail,
            "r_hat": draws.r_hat,
            "runs_of_draws": draws.runs,
            "runs_of_estimate": fit.estimate.runs,
            "log_posterior": fit.estimate.log_posterior,
            "remarks": "\n".join(fit.scans.remarks),
            "research_use_only": RESEARCH_USE_ONLY,
        },
    )
    dataset["most_likely"].attrs["units"] = "by unknown_unit"
    dataset["coordinate"].attrs["long_name"] = "in standard deviations of the prior"
    return dataset


def draws_of(posterior: xr.Dataset) -> Draws:
    """The draws that a stored posterior holds."""
    return Draws(
        posterior.coordinate.values,
        posterior.weight.values,
        posterior.log_likelihood.values,
        float(posterior.attrs["effective_draws"]),
        float(posterior.attrs["pareto_k"]),
        float(posterior.attrs["r_hat"]),
        int(posterior.attrs["runs_of_draws"]),
    )
