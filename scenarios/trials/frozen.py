"""Values fitted to one trial and frozen: as a record, and as entries of a parameter set."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from scenarios.course_tables import StudyTable
from scenarios.trials.cohort import CohortFile, parameters_hash
from scenarios.trials.trial_file import load_trial
from twin.drugs import with_numbers_of
from twin.errors import InvalidInput
from twin.examples import data_file
from twin.parameters import ParameterSet
from twin.storage import write_atomically
from twin.toml_file import Date, check, read_toml

__all__ = ["FROZEN_UNITS", "Frozen", "FrozenValue", "load_frozen", "read_frozen", "write_frozen"]

FROZEN_UNITS = {"alpha": "1/Gy", "temozolomide_kill": "L/(mg h)"}
_DRUG = "temozolomide"


class FrozenValue(StudyTable):
    """A fitted value and its 95 % interval."""

    value: float = Field(gt=0.0)
    unit: str
    interval: tuple[float, float] = Field(strict=False)
    evidence: Literal["B"] = "B"


class _FrozenFile(StudyTable):
    """``data/trials/frozen.toml``."""

    format: Literal[1]
    trial: str
    made: Date
    command: str
    version: str
    patients: int
    seed: int
    parameters: str
    parameters_sha256: str
    cohort_sha256: str
    trial_sha256: str
    correlation: float = Field(ge=-1.0, le=1.0)
    alpha: FrozenValue
    temozolomide_kill: FrozenValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """Radiosensitivity and temozolomide's kill, fitted to a trial.

    Parameters
    ----------
    trial : str
        Name of the trial.
    made : datetime.date
    command, version : str
        What made it.
    patients, seed : int
        Of the cohort.
    parameters : str
        Name of the parameter set.
    parameters_sha256, cohort_sha256, trial_sha256 : str
        Hashes of what the fit depends on.
    correlation : float, [1]
        Of the errors of the two logarithms.
    alpha, temozolomide_kill : FrozenValue
    """

    trial: str
    made: dt.date
    command: str
    version: str
    patients: int
    seed: int
    parameters: str
    parameters_sha256: str
    cohort_sha256: str
    trial_sha256: str
    correlation: float
    alpha: FrozenValue
    temozolomide_kill: FrozenValue

    @property
    def typical(self) -> dict[str, float]:
        """Both values by name."""
        return {name: getattr(self, name).value for name in FROZEN_UNITS}

    @property
    def trial_title(self) -> str:
        """How papers call the trial."""
        return load_trial(self.trial).title

    def check_origin(self, base: ParameterSet, cohort: CohortFile) -> None:
        """Refuse to predict with another set, cohort or trial than the fit was made with.

        Raises
        ------
        InvalidInput
            One of the hashes differs.
        """
        for what, then, now in (
            (f"parameter set {base.name!r}", self.parameters_sha256, parameters_hash(base)),
            ("cohort", self.cohort_sha256, cohort.content_hash),
            (f"trial {self.trial!r}", self.trial_sha256, load_trial(self.trial).fit_hash),
        ):
            if then != now:
                raise InvalidInput(
                    f"The frozen values were fitted with another {what} (sha256 {then[:12]}, now "
                    f"{now[:12]}); fit again: twin trial {self.trial} --fit -o frozen.toml."
                )

    def applied(self, base: ParameterSet) -> ParameterSet:
        """The set with both values in place, grade B, each with the trial as its source.

        Raises
        ------
        InvalidInput
            The set, or the drug, has an interaction with radiation that the same trial is the
            source of: its benefit would count twice.

        Examples
        --------
        >>> from twin.parameters import load_parameter_set
        >>> frozen = load_frozen()
        >>> known = frozen.applied(load_parameter_set("glioblastoma"))
        >>> known["temozolomide_kill"].evidence, known["alpha"].basis
        ('B', 'calibrated')
        """
        refuse_double_counting(base, self.trial)
        source = f"calibrated: {self.trial_title}, both arms, on {self.patients} virtual patients"
        for name in FROZEN_UNITS:
            found: FrozenValue = getattr(self, name)
            low, high = found.interval
            basis = "calibrated" if name == "alpha" else base[name].basis
            base = base.with_entry(
                name,
                value=found.value,
                source=f"{source} (fitted to a trial, {self.made})",
                basis=basis,
                evidence="B",
                note=f"95 % interval {low:.3g} to {high:.3g} {found.unit}; of a typical patient "
                "of the cohort, tumour methylated.",
            )
        return base

    def patient_lines(self) -> list[str]:
        """The two entries as a patient file's [parameters] takes them."""
        lines = []
        for name in FROZEN_UNITS:
            found: FrozenValue = getattr(self, name)
            basis = ', basis = "calibrated"' if name == "alpha" else ""
            lines.append(
                f'{name} = {{ value = "{found.value:.4g} {found.unit}"{basis}, '
                f'source = "calibrated: {self.trial_title}, {self.made}", evidence = "B" }}'
            )
        return lines


def refuse_double_counting(base: ParameterSet, trial: str) -> None:
    """Refuse a drug effect beside an interaction with radiation from the same trial.

    Raises
    ------
    InvalidInput
        Temozolomide makes radiation kill more, by a number whose source is this trial.
    """
    title, source = load_trial(trial).title, load_trial(trial).source
    plain = " ".join(title.lower().split())
    doi = source.removeprefix("doi:").lower()
    known = with_numbers_of(base, [_DRUG])
    name = f"{_DRUG}_sensitisation"
    if name in known and known.value(name) != 1.0:
        entry = known[name]
        said = " ".join(f"{entry.source} {entry.note}".lower().split())
        if plain in said or doi in said:
            raise InvalidInput(
                f"{name} is {entry.value:g} and rests on {title}, which temozolomide_kill would be "
                "fitted to as well: its benefit would count twice; keep one of the two."
            )


def read_frozen(path: str | Path) -> Frozen:
    """A record that `write_frozen` wrote.

    Raises
    ------
    InvalidInput
        No such file, or not such a record.
    """
    content = read_toml(path, what="file of frozen values")
    return _of(check(_FrozenFile, content, where=Path(path).name))


def load_frozen() -> Frozen:
    """The packaged record."""
    text = data_file("trials", "frozen.toml").read_text(encoding="utf-8")
    return _of(check(_FrozenFile, tomllib.loads(text), where="trials/frozen.toml"))


def _of(file: _FrozenFile) -> Frozen:
    fields = {name: getattr(file, name) for name in _FrozenFile.model_fields if name != "format"}
    found = Frozen(**fields)
    load_trial(found.trial)
    for name, unit in FROZEN_UNITS.items():
        if getattr(found, name).unit != unit:
            raise InvalidInput(f"Frozen {name} is in {getattr(found, name).unit}, not {unit}.")
    return found


def write_frozen(path: Path, frozen: Frozen) -> None:
    """Write a record, whole or not at all."""
    write_atomically(path, lambda part: part.write_text(_text(frozen), encoding="utf-8"))


def _text(frozen: Frozen) -> str:
    lines = [
        f"# Fitted to both arms of {frozen.trial_title} and frozen: `twin trial` predicts every",
        "# other trial with these. 95 % intervals hold the error of the published medians and of",
        "# the cohort, not that of the model.",
        "format = 1",
        f"made = {frozen.made.isoformat()}",
    ]
    for name in ("trial", "command", "version", "parameters", "parameters_sha256",
                 "cohort_sha256", "trial_sha256"):  # fmt: skip
        lines.append(f"{name} = {json.dumps(getattr(frozen, name), ensure_ascii=False)}")
    lines += [f"patients = {frozen.patients}", f"seed = {frozen.seed}"]
    lines.append(f"correlation = {frozen.correlation:.3f}")
    for name in FROZEN_UNITS:
        found: FrozenValue = getattr(frozen, name)
        low, high = found.interval
        lines += [
            "",
            f"[{name}]",
            f"value = {found.value:.5g}",
            f'unit = "{found.unit}"',
            f"interval = [{low:.4g}, {high:.4g}]",
            'evidence = "B"',
        ]
    return "\n".join(lines) + "\n"
