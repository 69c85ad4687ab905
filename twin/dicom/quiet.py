"""pydicom without its remarks, which quote values of headers and so may name a patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

import pydicom

__all__ = ["quiet_pydicom"]

_lock = Lock()
_inside = 0  # blocks entered and not yet left, in all threads
_undo = ExitStack()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Read and write DICOM without warnings, log lines or checks of values by pydicom.

    pydicom warns of values that do not keep to the standard by quoting them
    ("Invalid value for VR LO: 'Doe, Jane ...'"), to `warnings` and to its
    logger. Within this block it says nothing, and takes values as they are;
    whoever uses one checks it. Blocks may lie in one another and in several
    threads; the last one that is left brings pydicom's habits back.

    Examples
    --------
    >>> from pydicom.dataset import Dataset
    >>> with quiet_pydicom():
    ...     ds = Dataset()
    ...     ds.StudyDate = "the day of Jane Doe"
    """
    global _inside
    with _lock:
        if not _inside:
            _silence(_undo)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _undo.close()


def _silence(undo: ExitStack) -> None:
    """Change what is global in pydicom and `warnings`; `undo` puts it back."""
    settings = pydicom.config.settings
    logger = logging.getLogger("pydicom")
    undo.callback(setattr, settings, "reading_validation_mode", settings.reading_validation_mode)
    undo.callback(setattr, settings, "writing_validation_mode", settings.writing_validation_mode)
    undo.callback(setattr, logger, "disabled", logger.disabled)
    settings.reading_validation_mode = pydicom.config.IGNORE
    settings.writing_validation_mode = pydicom.config.IGNORE
    logger.disabled = True
    undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
