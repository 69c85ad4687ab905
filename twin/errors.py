"""The few ways in which a request can be refused."""

from __future__ import annotations

__all__ = [
    "GeometryMismatch",
    "InvalidInput",
    "NotConverged",
    "OutsideTrainingDomain",
    "TherapyTwinError",
]


class TherapyTwinError(Exception):
    """Base of every error that the project raises on purpose."""


class InvalidInput(TherapyTwinError, ValueError):
    """A value, file or combination that cannot be used.

    The message is one sentence that says what is wrong, where, the value
    found, what is allowed and what to do about it.
    """


class GeometryMismatch(InvalidInput):
    """Two images, masks or meshes that do not lie on the same grid."""


class OutsideTrainingDomain(TherapyTwinError):
    """A surrogate was asked a question that it was not trained to answer."""


class NotConverged(TherapyTwinError):
    """A computation that did not reach its tolerance; there is no result."""
