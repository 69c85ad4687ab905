"""Models and patients that every executor is tested with."""

import dataclasses

from solvers.models import compose
from twin.model_choice import ModelChoice
from twin.parameters import ParameterSet

CHOICES = {
    compose(choice).name: choice
    for choice in (
        ModelChoice(),
        ModelChoice(growth="gompertz"),
        ModelChoice(growth="exponential"),
        ModelChoice(resistant=True),
        ModelChoice(oxygen=True),
        ModelChoice(resistant=True, oxygen=True),
    )
}


def beyond(patient, **values):
    """The patient with parameters that may lie outside their ranges."""
    entries = {name: patient.parameters[name] for name in patient.parameters}
    for name, value in values.items():
        entries[name] = dataclasses.replace(
            entries[name], value=value, low=min(value, entries[name].low),
            high=max(value, entries[name].high),
        )  # fmt: skip
    return patient.replace(parameters=ParameterSet("beyond", entries))
