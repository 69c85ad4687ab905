"""A results folder on disk: study.json, runs/, table.csv, results.nc."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin.errors import InvalidInput
from twin.results import netcdf_bytes
from twin.storage import FolderLock, StorageFailed, write_atomically

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ResultsFolder"]

_PART = ".part-"


class ResultsFolder:
    """The results folder of one study.

    Everything in it is written under a temporary name and renamed when whole:
    a run is there or not. ``results.nc`` comes last, so that it marks the end.

    Parameters
    ----------
    folder : path
        Need not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder)

    @property
    def begun(self) -> bool:
        """Whether a study has begun here."""
        return (self.path / "study.json").exists()

    @property
    def finished(self) -> bool:
        """Whether the study here is complete."""
        return self.begun and (self.path / "results.nc").exists()

    def refuse_others(self, study_hash: str) -> None:
        """Raise `InvalidInput` where the folder holds anything but this study.

        What is found beside a study's own files (reports, pictures) may stay.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise InvalidInput(f"{self.path} is a file; give a folder for the results.")
        if not self.begun:
            foreign = sorted(
                entry.name for entry in self.path.iterdir() if not self._ours_unfinished(entry)
            )
            if foreign:
                raise InvalidInput(
                    f"{self.path} holds something else ({foreign[0]!r}); give a new or empty "
                    "folder."
                )
            return
        try:
            record = json.loads((self.path / "study.json").read_text(encoding="utf-8"))
            found = record["study_hash"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InvalidInput(
                f"{self.path / 'study.json'} is not the record of a study; give a new or empty "
                "folder."
            ) from None
        if found != study_hash:
            name = record.get("study", {}).get("name", "")
            raise InvalidInput(
                f"{self.path} holds another study or another version of this one ({name!r}); give "
                "a new folder, or remove that one first."
            )

    @staticmethod
    def _ours_unfinished(entry: Path) -> bool:
        """Left by a process that was killed before it could write study.json."""
        return entry.name == ".lock" or (_PART in entry.name and entry.name.startswith("."))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one process; it is made where it is not there."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(
                f"The folder {self.path} cannot be made: {error.strerror}; choose another one."
            ) from None
        with FolderLock(self.path):
            yield

    def begin(self, record: Mapping[str, Any]) -> None:
        """Write study.json where there is none, and sweep up what a killed run left."""
        for left in self.path.glob(f".*{_PART}*"):
            left.unlink()
        runs = self.path / "runs"
        with self._sentences(runs):
            runs.mkdir(exist_ok=True)
        for left in runs.glob(f"{_PART}*"):
            shutil.rmtree(left)
        if not self.begun:
            text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
            write_atomically(
                self.path / "study.json", lambda part: part.write_text(text, encoding="utf-8")
            )

    def done(self) -> set[str]:
        """Hashes of the runs that are whole."""
        runs = self.path / "runs"
        if not runs.is_dir():
            return set()
        return {entry.name for entry in runs.iterdir() if not entry.name.startswith(_PART)}

    def put(self, run: str, dataset: xr.Dataset) -> None:
        """Keep one run: its folder appears when it is whole."""
        content = netcdf_bytes(dataset)
        part = self.path / "runs" / f"{_PART}{run}"
        with self._sentences(self.path / "runs" / run):
            part.mkdir(exist_ok=True)
            try:
                write_atomically(part / "run.nc", lambda file: file.write_bytes(content))
                part.rename(self.path / "runs" / run)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise

    def get(self, run: str) -> xr.Dataset:
        """One run, opened lazily."""
        import xarray as xr

        path = self.path / "runs" / run / "run.nc"
        try:
            return xr.open_dataset(path, engine="h5netcdf", decode_times=False)
        except (OSError, ValueError, RuntimeError):
            raise InvalidInput(
                f"{path} cannot be read; remove the folder {path.parent} and run again with "
                "--resume."
            ) from None

    def finish(self, results: xr.Dataset) -> None:
        """Write table.csv, then results.nc."""
        from scenarios.comparison import full_table

        table = full_table(results).to_csv(index=False, lineterminator="\n")
        write_atomically(
            self.path / "table.csv", lambda part: part.write_text(table, encoding="utf-8")
        )
        content = netcdf_bytes(results)
        write_atomically(self.path / "results.nc", lambda part: part.write_bytes(content))

    @contextlib.contextmanager
    def _sentences(self, path: Path) -> Iterator[None]:
        try:
            yield
        except StorageFailed:
            raise
        except OSError as error:
            raise StorageFailed(
                f"{path} cannot be written: {error.strerror or error}; what was there is "
                "unchanged. Go on with --resume afterwards."
            ) from error
