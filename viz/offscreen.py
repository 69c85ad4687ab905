"""Rendering without a display, and without VTK's remarks about the missing one."""

from __future__ import annotations

from typing import Any

__all__ = ["quiet_pyvista"]


def quiet_pyvista() -> Any:
    """The `pyvista` module, with VTK kept from writing to standard error.

    VTK tries an X server before it turns to EGL or OSMesa and logs a warning
    where there is none. What really fails still raises through pyvista.

    Examples
    --------
    >>> pyvista = quiet_pyvista()
    >>> pyvista.Sphere().n_points > 0
    True
    """
    from vtkmodules.vtkCommonCore import vtkLogger, vtkObject

    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    vtkObject.GlobalWarningDisplayOff()
    import pyvista

    return pyvista
