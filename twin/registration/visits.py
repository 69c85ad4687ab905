"""Several visits of one patient on one grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from twin.errors import InvalidInput, NotConverged
from twin.images import Image
from twin.registration.registering import Registration, register

__all__ = ["AlignedVisit", "Visit", "align_visits"]


@dataclass(frozen=True, slots=True)
class Visit:
    """Images of one day that lie on each other.

    Parameters
    ----------
    name : str
        Such as "day 0"; errors name the visit by it.
    image : Image
        By which visits are brought onto each other.
    tumour : Image or None
        Non-zero where the visits differ by what grew, shrank or was cut out.
    others : mapping of str to Image
        Further images of that day.
    labels : mapping of str to Image
        Label maps of that day.
    """

    name: str
    image: Image
    tumour: Image | None = None
    others: Mapping[str, Image] = field(default_factory=dict)
    labels: Mapping[str, Image] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlignedVisit:
    """A visit on the grid of the reference visit.

    Parameters
    ----------
    visit : Visit
        All images on the voxels of the reference visit's image.
    registration : Registration or None
        None for the reference itself.
    """

    visit: Visit
    registration: Registration | None


def align_visits(
    visits: Sequence[Visit],
    reference: int = 0,
    *,
    kind: Literal["rigid", "affine"] = "rigid",
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> tuple[AlignedVisit, ...]:
    """All visits on the grid of one of them.

    Deformable registration is not offered: it would explain growth away.

    Parameters
    ----------
    visits : sequence of Visit
    reference : int
        Place of the visit that stays as it is.
    kind : {"rigid", "affine"}
        Affine where scanners differ in scale.
    seed : int
    progress : callable or None

    Raises
    ------
    InvalidInput
        No such visit, or another kind.
    NotConverged
        A visit that does not come to lie on the reference, with its name and the figures.
    """
    if not 0 <= reference < len(visits):
        raise InvalidInput(
            f"The reference visit is number {reference}, but there are {len(visits)} visits; "
            "count from 0."
        )
    if kind not in ("rigid", "affine"):
        raise InvalidInput(
            f"kind is {kind!r}; visits of one patient are brought together rigid or affine, "
            "since anything softer would explain growth away."
        )
    fixed = visits[reference]
    aligned: list[AlignedVisit] = []
    for number, visit in enumerate(visits):

        def report(part: float, what: str, number: int = number, name: str = visit.name) -> None:
            if progress is not None:
                progress((number + part) / len(visits), f"{name}: {what}")

        if number == reference:
            registration, image = None, visit.image
        else:
            try:
                registration = register(
                    visit.image,
                    fixed.image,
                    kind=kind,
                    ignore=fixed.tumour,
                    ignore_moving=visit.tumour,
                    seed=seed,
                    progress=report,
                )
            except NotConverged as error:
                raise NotConverged(f"Visit {visit.name} onto {fixed.name}: {error}") from None
            image = registration.resample(visit.image)
        aligned.append(_on_grid(visit, image, registration, fixed.image))
    return tuple(aligned)


def _on_grid(
    visit: Visit, image: Image, registration: Registration | None, grid: Image
) -> AlignedVisit:
    import numpy as np

    from twin.registration.resample import resample_image, resample_labels
    from twin.registration.transform import SpatialTransform

    transform = SpatialTransform(np.eye(4)) if registration is None else registration.transform
    tumour = visit.tumour
    return AlignedVisit(
        Visit(
            visit.name,
            image,
            None if tumour is None else resample_labels(tumour, transform, grid),
            {name: resample_image(other, transform, grid) for name, other in visit.others.items()},
            {name: resample_labels(one, transform, grid) for name, one in visit.labels.items()},
        ),
        registration,
    )
