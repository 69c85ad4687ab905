"""Digital twins of patients with brain tumours: data, meshes, parameters, treatments.

Research software: not for decisions about care.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.lazy_names import lazy_names

if TYPE_CHECKING:
    from twin.building import build, load
    from twin.calendar import Calendar
    from twin.courses import Drug, Hyperthermia, Radiotherapy, Resection, Temozolomide
    from twin.errors import (
        GeometryMismatch,
        InvalidInput,
        NotConverged,
        OutsideTrainingDomain,
        TherapyTwinError,
    )
    from twin.images import Image, read_nifti
    from twin.mesh import Mesh
    from twin.model_choice import ModelChoice
    from twin.parameter_draws import sample
    from twin.parameters import Parameter, ParameterSet, load_parameter_set
    from twin.patient import Grid, Structure, Twin
    from twin.protocol import Save, Solver, State
    from twin.regimen import Regimen
    from twin.results import open_results
    from twin.storage import StorageFailed
    from twin.units import parse_quantity

# Names are fetched when they are first used, so that `import twin` takes no time.
_HOME = {
    "Calendar": "calendar",
    "Drug": "courses",
    "GeometryMismatch": "errors",
    "Grid": "patient",
    "Hyperthermia": "courses",
    "Image": "images",
    "InvalidInput": "errors",
    "Mesh": "mesh",
    "ModelChoice": "model_choice",
    "NotConverged": "errors",
    "OutsideTrainingDomain": "errors",
    "Parameter": "parameters",
    "ParameterSet": "parameters",
    "Radiotherapy": "courses",
    "Regimen": "regimen",
    "Resection": "courses",
    "Save": "protocol",
    "Solver": "protocol",
    "State": "protocol",
    "StorageFailed": "storage",
    "Structure": "patient",
    "Temozolomide": "courses",
    "TherapyTwinError": "errors",
    "Twin": "patient",
    "build": "building",
    "load": "building",
    "load_parameter_set": "parameters",
    "open_results": "results",
    "parse_quantity": "units",
    "read_nifti": "images",
    "sample": "parameter_draws",
}

__all__ = [
    "Calendar",
    "Drug",
    "GeometryMismatch",
    "Grid",
    "Hyperthermia",
    "Image",
    "InvalidInput",
    "Mesh",
    "ModelChoice",
    "NotConverged",
    "OutsideTrainingDomain",
    "Parameter",
    "ParameterSet",
    "Radiotherapy",
    "Regimen",
    "Resection",
    "Save",
    "Solver",
    "State",
    "StorageFailed",
    "Structure",
    "Temozolomide",
    "TherapyTwinError",
    "Twin",
    "build",
    "load",
    "load_parameter_set",
    "open_results",
    "parse_quantity",
    "read_nifti",
    "sample",
]
__version__ = "0.1.0"

__getattr__, __dir__ = lazy_names(__name__, _HOME)
