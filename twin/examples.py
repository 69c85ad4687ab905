"""Where the package's own data is: parameter sets, example patients and studies."""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from twin.errors import InvalidInput

__all__ = ["data_file", "data_folder"]


def data_folder() -> Traversable:
    """Return the folder of packaged data, from an installed package or a plain checkout.

    Raises
    ------
    InvalidInput
        Where the data is neither installed nor beside the source.

    Examples
    --------
    >>> data_folder().joinpath("__init__.py").is_file()
    True
    """
    try:
        return resources.files("twin.data")
    except ModuleNotFoundError:
        beside = Path(__file__).resolve().parent.parent / "data"
        if not (beside / "__init__.py").is_file():
            raise InvalidInput(
                f"the package's data is missing: there is no installed twin.data and no {beside}; "
                "install the project again (make setup, or pip install therapy-twin)"
            ) from None
        return beside


def data_file(*parts: str) -> Traversable:
    """Return one file or folder of the packaged data.

    Parameters
    ----------
    *parts : str
        Names from the data folder inwards, such as ``"parameters", "glioblastoma.toml"``.

    Raises
    ------
    InvalidInput
        Where there is nothing of that name; it lists what there is.

    Examples
    --------
    >>> data_file("parameters", "melanoma-on-mars.toml")
    Traceback (most recent call last):
    ...
    twin.errors.InvalidInput: no packaged parameters/melanoma-on-mars.toml...
    """
    here = data_folder()
    for part in parts:
        inside = sorted(entry.name for entry in here.iterdir()) if here.is_dir() else []
        if part not in inside:
            known = ", ".join(name for name in inside if not name.startswith(("_", ".")))
            raise InvalidInput(f"no packaged {'/'.join(parts)}: {part!r} is not among {known}")
        here = here.joinpath(part)
    return here
