"""Drugs for tests of drugs: courses of the packaged ones, and one of our own."""

import datetime as dt
from types import SimpleNamespace

from small_patient import PATIENT_TOML

from solvers.drug_effects import drug_effects
from twin.calendar import Calendar
from twin.courses import Drug, Radiotherapy
from twin.parameters import load_parameter_set

MONDAY = Calendar(dt.date(2026, 3, 30))
BASE = load_parameter_set("glioblastoma")
SURFACE = 1.8
RT = Radiotherapy(total_dose_gy=12.0, fractions=6, start_day=0.375)
LOMUSTINE = Drug(name="lomustine", schedule="110 mg/m2 day 1 of 42, 6 cycles", start_day=28.0)
WITH_GFR = PATIENT_TOML.replace('"1.8 m2"', '"1.8 m2"\ngfr = "75 mL/min"')
COURSES = {
    "lomustine": "110 mg/m2 day 1 of 42, 2 cycles",
    "doxorubicin": "60 mg/m2 every 21 days, 3 cycles",
    "cyclophosphamide": "600 mg/m2 every 21 days, 3 cycles",
    "paclitaxel": "175 mg/m2 every 21 days, 3 cycles",
    "carboplatin": "AUC 5 day 1 of 21, 3 cycles",
}

CONTENT = {
    "format": 1,
    "title": "Testine",
    "route": "infusion",
    "kinetics": "one compartment",
    "effect": "log-kill",
    "parameter": {
        name: {"value": value, "unit": unit, "low": low, "high": 100.0, "source": "assumed: a test"}
        for name, value, unit, low in (
            ("clearance", 10.0, "L/h", 0.0),
            ("half_life", 2.0, "h", 0.0),
            ("tumour_to_plasma", 0.5, "1", 0.0),
            ("kill", 0.01, "L/(mg h)", 0.0),
        )
    },
}
SENSITISING = {
    **CONTENT,
    "interaction": "supra-additive",
    "parameter": {
        **CONTENT["parameter"],
        "sensitisation": {**CONTENT["parameter"]["kill"], "value": 1.5, "unit": "1", "low": 1.0},
        "sensitising_concentration": {
            **CONTENT["parameter"]["kill"], "value": 1.0, "unit": "mg/L",
        },
    },
}  # fmt: skip


def effects(doses, *, gfr=None, parameters=BASE):
    """What the doses do in a patient of 1.8 m2."""
    some = SimpleNamespace(body_surface_m2=SURFACE, gfr_ml_min=gfr)
    return drug_effects(doses, parameters, some)
