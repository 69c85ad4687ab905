"""pydicom without its remarks, which quote values of headers and so may name a patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom

__all__ = ["quiet_pydicom"]


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Read and write DICOM without warnings, log lines or checks of values by pydicom.

    pydicom warns of values that do not keep to the standard by quoting them
    ("Invalid value for VR LO: 'Doe, Jane ...'"), to `warnings` and to its
    logger. Within this block it says nothing, and takes values as they are;
    whoever uses one checks it.

    Examples
    --------
    >>> from pydicom.dataset import Dataset
    >>> with quiet_pydicom():
    ...     ds = Dataset()
    ...     ds.StudyDate = "the day of Jane Doe"
    """
    settings = pydicom.config.settings
    logger = logging.getLogger("pydicom")
    before = settings.reading_validation_mode, settings.writing_validation_mode, logger.disabled
    settings.reading_validation_mode = pydicom.config.IGNORE
    settings.writing_validation_mode = pydicom.config.IGNORE
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.reading_validation_mode, settings.writing_validation_mode, logger.disabled = before
