"""RT plans: fractions, prescription and beams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.dicom.files import read_dataset
from twin.dicom.header_values import number_of, whole_of
from twin.dicom.structure_words import only_known_words
from twin.errors import InvalidInput

__all__ = ["Beam", "PlanSummary", "Prescription", "read_plan"]

_MOST_GY = 200.0


@dataclass(frozen=True, slots=True)
class Prescription:
    """Dose prescribed to one target.

    Parameters
    ----------
    dose_gy : float, [Gy]
        Of all fractions.
    target : str
        Description of the target where it consists of words of anatomy and planning alone,
        else "": free text may name a person.
    roi_number : int or None
        Of the structure set.
    """

    dose_gy: float
    target: str
    roi_number: int | None


@dataclass(frozen=True, slots=True)
class Beam:
    """One beam of treatment.

    Parameters
    ----------
    number : int
    radiation : str
        "photon", "electron", "neutron", "proton" or "ion"; "" where it is none of these.
    dose_gy : float or None, [Gy]
        To the beam's point in each fraction.
    energies : tuple of float, [MV, MeV or MeV/u]
        Nominal, each that occurs.
    """

    number: int
    radiation: str
    dose_gy: float | None
    energies: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan prescribes.

    Parameters
    ----------
    fractions : int or None
        Planned, of the first fraction group; None where it is not stated.
    prescriptions : tuple of Prescription
        To targets that are volumes or sites, the largest first; points are left out.
    beams : tuple of Beam
    notes : tuple of str
    """

    fractions: int | None
    prescriptions: tuple[Prescription, ...]
    beams: tuple[Beam, ...]
    notes: tuple[str, ...]


def read_plan(path: Path) -> PlanSummary:
    """Return fractions, prescriptions and beams of an RT plan.

    Raises
    ------
    InvalidInput
        Another kind of object, or neither fractions nor beams.
    """
    dataset = read_dataset(path)
    what = f"The plan {path.name}"
    if str(dataset.get("Modality") or "").upper() not in ("RTPLAN", "RTIONPLAN"):
        raise InvalidInput(f"{path.name} is not an RT plan (RTPLAN).")
    groups = list(dataset.get("FractionGroupSequence") or ())
    sequence = dataset.get("BeamSequence") or dataset.get("IonBeamSequence") or ()
    if not groups and not sequence:
        raise InvalidInput(f"{what} has neither fractions nor beams; export it again.")
    notes: list[str] = []
    if len(groups) > 1:
        notes.append(f"{len(groups)} fraction groups; the first is used")
    doses: dict[int, float] = {}
    fractions = None
    if groups:
        planned = number_of(groups[0].get("NumberOfFractionsPlanned"))
        if planned is not None and planned == int(planned) and 1 <= planned <= 1000:
            fractions = int(planned)
        else:
            notes.append("the number of fractions is not stated")
        for item in groups[0].get("ReferencedBeamSequence") or ():
            dose = number_of(item.get("BeamDose"))
            if dose is not None:
                doses[whole_of(item.get("ReferencedBeamNumber"))] = dose
    beams = tuple(
        Beam(
            whole_of(beam.get("BeamNumber")),
            _radiation(beam),
            doses.get(whole_of(beam.get("BeamNumber"))),
            _energies(beam),
        )
        for beam in sequence
        if str(beam.get("TreatmentDeliveryType") or "TREATMENT").upper() == "TREATMENT"
    )
    prescriptions, points = _prescriptions(dataset)
    if points:
        notes.append(f"dose references that are points, not targets: {points}")
    if not prescriptions:
        notes.append("no dose is prescribed to a target")
    elif prescriptions[0].dose_gy > _MOST_GY:
        notes.append(
            f"the prescription of {prescriptions[0].dose_gy:g} Gy is above {_MOST_GY:g} Gy: it may "
            "be in cGy"
        )
    return PlanSummary(fractions, prescriptions, beams, tuple(notes))


def _prescriptions(dataset: Any) -> tuple[tuple[Prescription, ...], int]:
    found, points = [], 0
    for item in dataset.get("DoseReferenceSequence") or ():
        if str(item.get("DoseReferenceType") or "").upper() != "TARGET":
            continue
        if str(item.get("DoseReferenceStructureType") or "").upper() in ("COORDINATES", "POINT"):
            points += 1
            continue
        dose = number_of(item.get("TargetPrescriptionDose"))
        if dose is None or not dose > 0.0:
            continue
        number = item.get("ReferencedROINumber")
        text = " ".join(str(item.get("DoseReferenceDescription") or "").split())
        target = text if only_known_words(text) else ""
        found.append(Prescription(dose, target, whole_of(number) or None))
    found.sort(key=lambda one: -one.dose_gy)
    return tuple(found), points


def _radiation(beam: Any) -> str:
    stated = str(beam.get("RadiationType") or "").lower()
    return stated if stated in ("photon", "electron", "neutron", "proton", "ion") else ""


def _energies(beam: Any) -> tuple[float, ...]:
    points = beam.get("ControlPointSequence") or beam.get("IonControlPointSequence") or ()
    found = {number_of(point.get("NominalBeamEnergy")) for point in points}
    return tuple(sorted(energy for energy in found if energy is not None))
