"""From voxel labels to tetrahedra: a graded lattice fitted to the interfaces.

`wanted_cell_size` says how fine the mesh should be, `build_mesh` makes it and
`mesh_quality` measures it. The steps, one file each: an octree (`octree`), the
body-centred cubic lattice on it (`lattice`), signed distances to the labels
(`distances`), a label per cell (`labelling`), vertices moved to the interfaces
(`fitting`, `smoothing`).
"""

from twin.meshing.build import build_mesh
from twin.meshing.quality import MeshQuality, mesh_quality
from twin.meshing.sizing import expected_nodes, wanted_cell_size

__all__ = ["MeshQuality", "build_mesh", "expected_nodes", "mesh_quality", "wanted_cell_size"]
