"""What of a folder an import takes, and what it refuses before anything is read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from twin.errors import GeometryMismatch, InvalidInput
from twin.importing.found import USED_KINDS, Found, Inventory

__all__ = ["select"]


def select(
    inventory: Inventory, *, only: Sequence[int] | None = None, all_frames: bool = False
) -> tuple[int, ...]:
    """Numbers of what is imported.

    Parameters
    ----------
    inventory : Inventory
    only : sequence of int or None
        Numbers of the table; all that can be used if None.
    all_frames : bool
        Take images although nothing says how their frames of reference lie to one another.

    Raises
    ------
    InvalidInput
        An unknown number, one that no use is made of, nothing at all, several
        cases, or something that has a problem.
    GeometryMismatch
        Several frames of reference on one day, without `all_frames`.
    """
    chosen = _chosen(inventory, only)
    rows = {number: inventory.found[number - 1] for number in chosen}
    if not any(one.kind not in ("plan", "structure set") for one in rows.values()):
        raise InvalidInput(
            "Nothing here can become an image of a patient "
            f"({_listed(inventory.found)}); "
            "add the images, a segmentation or a dose to the folder."
        )
    for number, one in rows.items():
        if one.problem:
            raise InvalidInput(
                f"Number {number} ({one.kind}{_of(one)}) cannot be imported: {one.problem}; "
                "mend it, or leave it out with --only."
            )
    _one_case(rows.values())
    if not all_frames:
        _one_frame(inventory, chosen)
    return chosen


def _chosen(inventory: Inventory, only: Sequence[int] | None) -> tuple[int, ...]:
    usable = [number for number, one in inventory.numbered() if one.kind in USED_KINDS]
    if only is None:
        return tuple(usable)
    for number in only:
        if not 1 <= number <= len(inventory.found):
            raise InvalidInput(
                f"--only names number {number}; the table has 1 to {len(inventory.found)}."
            )
        if number not in usable:
            raise InvalidInput(
                f"--only names number {number}, of which no use is made "
                f"({inventory.found[number - 1].kind}); choose others."
            )
    return tuple(sorted(set(only)))


def _of(one: Found) -> str:
    return f", {one.modality}" if one.modality else ""


def _listed(rows: Iterable[Found]) -> str:
    """Kinds and how many of each; of what is not used its own name."""
    counts: Counter[str] = Counter(
        one.notes[0].partition(":")[0] if one.kind == "not used" and one.notes else one.kind
        for one in rows
    )
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _one_case(rows: Iterable[Found]) -> None:
    """Refuse NIfTI or NRRD files that show the same for two cases, by their names or folders."""
    cases: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for one in rows:
        if one.source != "DICOM" and one.contrast not in ("", "image"):
            if one.case:
                cases[one.kind, one.contrast].add(one.case)
            path = one.files[0]
            cases[one.kind, one.contrast, path.name].add(path.parent.as_posix())
    most = max((len(names) for names in cases.values()), default=0)
    if most > 1:
        raise InvalidInput(
            f"The names of the files look like {most} patients or visits; give a folder with the "
            "files of one, or choose them with --only."
        )


def _one_frame(inventory: Inventory, chosen: Sequence[int]) -> None:
    frames: dict[int | None, dict[str, list[int]]] = defaultdict(dict)
    for number in chosen:
        one, letter = inventory.found[number - 1], inventory.frames[number - 1]
        if one.frame_uid and one.kind in ("image", "segmentation", "structure set", "dose"):
            frames[inventory.days[number - 1]].setdefault(letter, []).append(number)
    together = max(frames.values(), key=len, default={})
    if len(together) > 1:
        shown = "; ".join(
            f"{letter}: {', '.join(map(str, numbers))}" for letter, numbers in together.items()
        )
        raise GeometryMismatch(
            f"Numbers of one day lie in {len(together)} frames of reference ({shown}), so nothing "
            "says how they fit; choose one frame with --only, or take all with --all-frames and "
            "bring them together with twin register."
        )
