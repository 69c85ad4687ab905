"""Bringing images of one patient, or an atlas, onto one grid."""

from twin.lazy_names import lazy_names

_HOME = {
    "Atlas": "atlas",
    "Bar": "quality",
    "PatientAnatomy": "atlas",
    "Registration": "registering",
    "RegistrationQuality": "quality",
    "SpatialTransform": "transform",
    "Visit": "visits",
    "align_visits": "visits",
    "bring_atlas": "atlas",
    "default_atlas": "atlas",
    "read_atlas": "atlas",
    "register": "registering",
    "write_registration": "files",
}
__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy_names(__name__, _HOME)
