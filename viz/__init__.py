"""Pictures, the report and the command line.

>>> import viz
>>> callable(viz.scene)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.lazy_names import lazy_names

if TYPE_CHECKING:
    from viz.pictures import write_pictures
    from viz.report import write_report
    from viz.scene_3d import scene
    from viz.slice_views import slices
    from viz.volume_curves import curves

# Names are fetched when they are first used, so that the command line starts at once.
# No module is called like a function here: importing it would hide the function.
_HOME = {
    "curves": "volume_curves",
    "scene": "scene_3d",
    "slices": "slice_views",
    "write_pictures": "pictures",
    "write_report": "report",
}

__all__ = ["curves", "scene", "slices", "write_pictures", "write_report"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
