"""From voxel labels to tetrahedra: a graded lattice fitted to the interfaces.

`wanted_cell_size` says how fine the mesh should be, `build_mesh` makes it and
`mesh_quality` measures it. The steps, one file each: an octree (`octree`), the
body-centred cubic lattice on it (`lattice`), signed distances to the labels
(`distances`), a label per cell (`labelling`), vertices moved to the interfaces
(`interfaces`, `fitting`, `smoothing`), and edges and faces swapped there
(`swaps`, `rings`, `holes`).
"""

from twin.meshing.build import build_mesh, build_mesh_with_report
from twin.meshing.build_report import BuildReport
from twin.meshing.quality import MeshQuality, mesh_quality
from twin.meshing.sizing import (
    expected_nodes,
    front_reach_mm,
    front_width_mm,
    wanted_cell_size,
)
from twin.meshing.transmissibility import NegativeShare, negative_transmissibility_share

__all__ = [
    "BuildReport",
    "MeshQuality",
    "NegativeShare",
    "build_mesh",
    "build_mesh_with_report",
    "expected_nodes",
    "front_reach_mm",
    "front_width_mm",
    "mesh_quality",
    "negative_transmissibility_share",
    "wanted_cell_size",
]
