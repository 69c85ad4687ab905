"""A mesh of one's own, from every format: the same patient, or one sentence about what is wrong."""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mesh_writers import write_msh2, write_msh4, write_vtu, write_xdmf
from small_patient import PATIENT_TOML, write_small_patient

import twin
from solvers.finite_element import FiniteElementSolver
from twin.courses import Radiotherapy
from twin.errors import InvalidInput
from twin.meshing.boxes import box_mesh
from twin.own_mesh import own_mesh, read_mesh_file
from twin.own_mesh_checks import check_geometry
from twin.patient_file import MeshTable
from twin.patient_meshes import mesh_labels
from twin.regimen import Regimen
from twin.toml_file import check
from viz.cli import main

BY_GMSH = Path(__file__).parent / "gmsh_meshes"
FORMATS = {
    "2.msh": write_msh2,
    "2b.msh": lambda *a, **k: write_msh2(*a, binary=True, **k),
    "4.msh": write_msh4,
    "4b.msh": lambda *a, **k: write_msh4(*a, binary=True, first_node=101, **k),
    "v.vtu": write_vtu,
    "h.xdmf": write_xdmf,
    "two.xdmf": lambda *a, **k: write_xdmf(*a, own_grid=True, **k),
    "x.xdmf": lambda *a, **k: write_xdmf(*a, form="XML", **k),
    "b.xdmf": lambda *a, **k: write_xdmf(*a, form="Binary", **k),
}
TIMES = [0.0, 10.0, 30.0]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_small_patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture(scope="module")
def patient(files):
    return twin.load(files)


@pytest.fixture(scope="module")
def reference(patient):
    """What our own mesh gives."""
    return volumes(patient)


@pytest.fixture(scope="module")
def images(patient):
    """What our own meshes are made from: voxel labels and their affine."""
    parts = (patient.structures[name].mask for name in ("enhancing", "necrosis"))
    return mesh_labels(patient.tissues, *parts), patient.grid.affine


@pytest.fixture
def arrays(patient):
    """Points, cells and tags of our own coarse mesh, to be spoilt."""
    mesh = patient.coarse_mesh
    return [mesh.points.copy(), mesh.cells.copy(), mesh.cell_label.copy()]


def volumes(someone):
    regimen = Regimen(Radiotherapy(total_dose_gy=10.0, fractions=5, start_day=7.0))
    return FiniteElementSolver().solve(someone, regimen, TIMES)["tumour_volume_soft"].values


def refused(path, images, match, **options):
    with pytest.raises(InvalidInput, match=match) as caught:
        own_mesh(path, MeshTable(**options), *images)
    assert str(caught.value).count(". ") == 0  # one sentence


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_very_same_mesh(name, images, patient, tmp_path):
    mesh = patient.coarse_mesh
    FORMATS[name](tmp_path / name, mesh.points, mesh.cells, mesh.cell_label)
    assert own_mesh(tmp_path / name, MeshTable(), *images).content_hash == mesh.content_hash


@pytest.mark.parametrize("name", ["4b.msh", "v.vtu", "h.xdmf"])
def test_volumes_are_bitwise_those_of_our_own_mesh(name, files, patient, reference, tmp_path):
    for mesh, file in ((patient.mesh, name), (patient.coarse_mesh, f"coarse_{name}")):
        FORMATS[name](tmp_path / file, mesh.points, mesh.cells, mesh.cell_label)
    table = MeshTable(file=str(tmp_path / name), coarse_file=str(tmp_path / f"coarse_{name}"))
    built = twin.build(files, tmp_path / "out", mesh=table)
    for mine, ours in ((built.mesh, patient.mesh), (built.coarse_mesh, patient.coarse_mesh)):
        assert mine.content_hash == ours.content_hash  # the third one is made here for both
    assert np.array_equal(volumes(twin.load(tmp_path / "out")), reference)
    report = (tmp_path / "out" / "quality.txt").read_text()
    assert f"mesh: read from {name}" in report
    assert f"coarse mesh: read from coarse_{name}" in report


def test_the_order_in_the_file_does_not_matter(files, patient, reference, tmp_path):
    mesh = patient.mesh
    points, cells, tags = mesh.points, mesh.cells, mesh.cell_label
    random = np.random.default_rng(5)
    new = random.permutation(len(points))
    order = random.permutation(len(cells))
    place = np.empty_like(new)
    place[new] = np.arange(len(new))
    mixed = random.permuted(place[cells[order]], axis=1)  # orientation lost as well
    write_vtu(tmp_path / "m.vtu", points[new], mixed, tags[order])
    other = twin.load(files, mesh=MeshTable(file=str(tmp_path / "m.vtu")))
    assert other.mesh.content_hash != patient.mesh.content_hash
    assert other.mesh.cell_volume.sum() == pytest.approx(patient.mesh.cell_volume.sum(), rel=1e-12)
    assert volumes(other) == pytest.approx(reference, rel=1e-10, abs=0)


def test_without_a_coarse_file_the_coarse_mesh_is_made_here(files, patient, tmp_path):
    mesh = patient.mesh
    write_msh4(tmp_path / "m.msh", mesh.points, mesh.cells, mesh.cell_label)
    shutil.copytree(files.parent, tmp_path / "in")
    toml = PATIENT_TOML + 'file = "../m.msh"\n'
    (tmp_path / "in" / "patient.toml").write_text(toml)
    built = twin.build(tmp_path / "in" / "patient.toml", tmp_path / "out")
    assert built.mesh.content_hash == mesh.content_hash
    near = [np.linalg.norm(m.points - [6, 2, 4], axis=1) < 8 for m in (mesh, built.coarse_mesh)]
    # 1.6 times coarser means 4.1 times fewer nodes near the tumour
    assert 2.5 < near[0].sum() / near[1].sum() < 6.5
    report = (tmp_path / "out" / "quality.txt").read_text()
    assert "coarse mesh: Fitted to the interfaces" in report
    assert "coarsest mesh: Fitted to the interfaces" in report
    assert str(tmp_path) not in report


def test_build_takes_meshes_on_the_command_line(files, patient, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the command line's paths begin here, not at the patient
    for mesh, name in ((patient.mesh, "m.vtu"), (patient.coarse_mesh, "c.vtu")):
        write_vtu(tmp_path / name, mesh.points, mesh.cells, mesh.cell_label)
    command = ["build", str(files), "-o", "out", "--json", "--coarse-mesh", "c.vtu"]
    assert main([*command, "--mesh", "m.vtu"]) == 0
    built = twin.load(tmp_path / "out")
    assert built.content_hash in capsys.readouterr().out
    assert built.mesh.content_hash == patient.mesh.content_hash
    assert built.coarse_mesh.content_hash == patient.coarse_mesh.content_hash
    assert main(["build", str(files), "-o", "out2", "--coarse-mesh", "c.vtu"]) == 2
    assert "--mesh" in capsys.readouterr().err
    assert main([*command, "--mesh", "none.vtu"]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(path.name for path in BY_GMSH.iterdir()))
def test_files_by_gmsh_itself(name):
    """A box of 2 mm in one of 4 mm; gmsh 4.15.2, the 4.1 ones with surfaces of no group."""
    found = read_mesh_file(BY_GMSH / name)
    corners = found.points[found.cells]
    volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6.0
    (groups,) = found.tags.values()
    assert found.names == {17: "enhancing", 23: "White Matter"}
    assert volume[groups == 17].sum() == pytest.approx(2.0**3)
    assert volume[groups == 23].sum() == pytest.approx(4.0**3 - 2.0**3)
    assert len(np.unique(found.cells)) == 28


def test_a_file_by_dolfinx(tmp_path):
    """Mesh and tags as two grids; the cells of the left half of a box of 4 mm are tagged 2."""
    import dolfinx.mesh
    from dolfinx.io import XDMFFile
    from mpi4py import MPI

    box = dolfinx.mesh.create_box(
        MPI.COMM_SELF,
        [np.zeros(3), np.full(3, 4.0)],
        [2, 2, 2],
        dolfinx.mesh.CellType.tetrahedron,
    )
    everywhere = dolfinx.mesh.locate_entities(box, 3, lambda x: x[0] > -1.0)
    left = dolfinx.mesh.locate_entities(box, 3, lambda x: x[0] < 2.0 + 1e-9)
    values = np.where(np.isin(everywhere, left), 2, 3).astype(np.int32)
    tags = dolfinx.mesh.meshtags(box, 3, everywhere, values)
    older = tuple(map(int, dolfinx.__version__.split(".")[:2])) < (0, 7)
    with XDMFFile(MPI.COMM_SELF, str(tmp_path / "box.xdmf"), "w") as file:
        file.write_mesh(box)
        file.write_meshtags(*((tags,) if older else (tags, box.geometry)))
    found = read_mesh_file(tmp_path / "box.xdmf")
    (read,) = found.tags.values()
    corners = found.points[found.cells]
    volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6.0
    assert volume.sum() == pytest.approx(4.0**3)
    assert volume[read == 2].sum() == pytest.approx(4.0**3 / 2)
    assert corners[read == 2][..., 0].max() == pytest.approx(2.0)


def test_tags_by_name_by_number_and_several_for_one_tissue(images, patient, arrays, tmp_path):
    points, cells, tags = arrays
    names = {1: "Fluid", 2: "grey matter", 3: "White-Matter", 4: "ENHANCING", 5: "necrosis"}
    write_msh4(tmp_path / "n.msh", points, cells, tags, names=names)
    assert own_mesh(tmp_path / "n.msh", MeshTable(), *images).content_hash == (
        patient.coarse_mesh.content_hash
    )
    other = np.array([0, 31, 22, 13, 44, 55])[tags]
    other[np.flatnonzero(tags == 3)[::2]] = 14
    write_msh2(tmp_path / "o.msh", points, cells, other, names={14: "deep", 13: "near"})
    labels = {"fluid": 31, "grey_matter": 22, "white_matter": ["deep", 13]}
    labels |= {"enhancing": 44, "necrosis": 55}
    mesh = own_mesh(tmp_path / "o.msh", MeshTable(labels=labels), *images)
    assert mesh.content_hash == patient.coarse_mesh.content_hash


def test_what_is_outside_is_left_out(images, patient, arrays, tmp_path):
    points, cells, tags = arrays
    away = points[:4] * 0.1 + 60.0  # one cell and a loose node beyond the head, say of the scalp
    write_vtu(
        tmp_path / "m.vtu",
        np.vstack([points, away, [[1e4, 0, 0]]]),
        np.vstack([cells, len(points) + np.arange(4)]),
        np.r_[tags, 9],
    )
    labels = {name: number for number, name in patient.coarse_mesh.label_names.items()}
    refused(tmp_path / "m.vtu", images, 'tag 9, which stands for no tissue.*"?outside')
    mesh = own_mesh(tmp_path / "m.vtu", MeshTable(labels=labels | {"outside": 9}), *images)
    assert mesh.content_hash == patient.coarse_mesh.content_hash


def test_coordinates_and_unit(images, patient, arrays, tmp_path):
    points, cells, tags = arrays
    points[:, :2] *= -1.0
    write_vtu(tmp_path / "m.vtu", points, cells, tags)
    refused(tmp_path / "m.vtu", images, 'coordinates = "LPS" it fits: write that')
    mesh = own_mesh(tmp_path / "m.vtu", MeshTable(coordinates="LPS"), *images)
    assert mesh.content_hash == patient.coarse_mesh.content_hash
    points[:, :2] *= -1.0
    write_vtu(tmp_path / "m.vtu", points / 1000.0, cells, tags)
    refused(tmp_path / "m.vtu", images, 'is 0.05.* mm large.*metres: write unit = "m"')
    mesh = own_mesh(tmp_path / "m.vtu", MeshTable(unit="m"), *images)
    assert mesh.points == pytest.approx(patient.coarse_mesh.points, abs=1e-12)


def test_files_that_are_no_such_mesh(images, arrays, tmp_path):
    points, _, tags = arrays
    refused(tmp_path / "none.msh", images, "does not exist; check name")
    (tmp_path / "mesh.stl").write_text("solid")
    refused(tmp_path / "mesh.stl", images, 'ends in ".stl"; .msh, .vtu, .xdmf are read')
    for suffix, kind in ((".msh", "gmsh"), (".vtu", "VTK"), (".xdmf", "XDMF")):
        for content in (
            "",
            "a letter to my aunt",
            "$MeshFormat\n9 0 8\n$EndMeshFormat\n",
            "<Xdmf/>",
        ):
            (tmp_path / f"m{suffix}").write_text(content)
            refused(tmp_path / f"m{suffix}", images, f"cannot be read as .*{kind}.* save it again")
    for name, write in FORMATS.items():
        path = write(tmp_path / name, points[:9], np.array([[0, 1, 2, 3]] * 3), tags[:3])
        whole = path.read_bytes()
        for part in (0.5, 0.9):
            path.write_bytes(whole[: int(part * len(whole))])
            refused(path, images, "cannot be read as")
    write_msh4(tmp_path / "m.msh", points[:3], np.array([[0, 1, 2, 9]]), tags[:1])
    refused(tmp_path / "m.msh", images, "names a node that does not exist")
    write_xdmf(tmp_path / "m.xdmf", points[:3], np.array([[0, 1, 2, 9]]), tags[:1])
    refused(tmp_path / "m.xdmf", images, "3 nodes, but a cell names node 9")
    (tmp_path / "m.h5").unlink()
    refused(tmp_path / "m.xdmf", images, "numbers in m.h5, which is not there")


def test_other_cells_than_tetrahedra(images, tmp_path):
    import pyvista

    pyvista.Sphere().cast_to_unstructured_grid().save(tmp_path / "m.vtu")
    refused(tmp_path / "m.vtu", images, "no tetrahedra; a mesh of the volume is needed")
    pyvista.ImageData(dimensions=(3, 3, 3)).cast_to_unstructured_grid().save(tmp_path / "m.vtu")
    refused(tmp_path / "m.vtu", images, "8 hexahedra; only linear tetrahedra")
    mixed = "6 0 1 2 3 9 0 1 2 3 4 5 6 7"
    item = '<DataItem Dimensions="{}" NumberType="{}" Format="XML">{}</DataItem>'
    (tmp_path / "m.xdmf").write_text(
        f'<Xdmf><Domain><Grid><Topology TopologyType="Mixed">{item.format(14, "Int", mixed)}'
        f"</Topology><Geometry>{item.format('8 3', 'Float', '0 ' * 24)}</Geometry></Grid></Domain>"
        "</Xdmf>"
    )
    refused(tmp_path / "m.xdmf", images, "1 hexahedra; only linear")
    text = (BY_GMSH / "boxes_22_text.msh").read_text()
    second = " ".join(map(str, [200, 11, 2, 17, 1, *range(1, 11)]))
    count = int(text.split("$Elements\n")[1].split()[0])
    text = text.replace(f"$Elements\n{count}\n", f"$Elements\n{count + 1}\n{second}\n")
    (tmp_path / "m.msh").write_text(text)
    refused(tmp_path / "m.msh", images, r"1 second-order tetrahedra;.*-order 1")


def test_tags_that_cannot_be_used(images, arrays, tmp_path):
    points, cells, tags = arrays
    path = write_msh2(tmp_path / "m.msh", points, cells, 0 * tags)
    refused(path, images, "no whole number on each that tells its tissue")
    path = write_vtu(tmp_path / "m.vtu", points, cells, tags + 0.5, name="density")
    refused(path, images, "no whole number on each")
    path = write_vtu(tmp_path / "m.vtu", points, cells, tags, name="a", b=tags)
    refused(path, images, r'several arrays on its cells \("a", "b"\); say in \[mesh\]')
    refused(path, images, 'no tags "c" on its tetrahedra; it has "a", "b"', tags="c")
    own_mesh(path, MeshTable(tags="b"), *images)
    path = write_msh4(tmp_path / "m.msh", points, cells, tags, names={4: "enhancing", 2: "skull"})
    refused(path, images, "stands for no tissue .known are enhancing = 4")
    refused(path, images, 'no physical group of volumes "csf"', labels={"fluid": "csf"})
    refused(path, images, "tag 2 twice", labels={"fluid": 2, "grey_matter": [3, 2]})
    path = write_vtu(tmp_path / "m.vtu", points, cells, np.where(tags > 3, 3, tags))
    refused(path, images, 'no tetrahedra of "enhancing", only of fluid, grey_matter, white_matter')
    swapped = np.array([0, 1, 3, 2, 4, 5])[tags]
    path = write_vtu(tmp_path / "m.vtu", points, cells, swapped)
    refused(path, images, "% of the mesh .* check that both are of the same patient")
    swapped = np.where(tags == 1, 4, np.where(tags == 4, 1, tags))
    path = write_vtu(tmp_path / "m.vtu", points, cells, swapped)
    refused(
        path, images, "% of the (fluid|enhancing) of .*voxels of the same tissue, and at least 25 %"
    )


def test_points_and_cells_that_cannot_be_used(images, arrays, tmp_path):
    points, cells, tags = arrays
    spoilt = points.copy()
    spoilt[77, 1] = np.nan
    refused(write_vtu(tmp_path / "m.vtu", spoilt, cells, tags), images, "number 77 from 0.*finite")
    spoilt = points.copy()
    spoilt[cells[5, 0]] = points[cells[5, 1:]].mean(axis=0)
    refused(
        write_vtu(tmp_path / "m.vtu", spoilt, cells, tags),
        images,
        r"\d flat tetrahedra .*below 1 degree.* one at .* mm",
    )
    torn = np.vstack([points, points[cells[9]]])
    loose = cells.copy()
    loose[9] = len(points) + np.arange(4)
    refused(write_vtu(tmp_path / "m.vtu", torn, loose, tags), images, "4 nodes twice at one place")
    twice = np.vstack([cells, cells[:1]])
    path = write_vtu(tmp_path / "m.vtu", points, twice, np.r_[tags, tags[0]])
    refused(path, images, "over one another")
    path = write_vtu(tmp_path / "m.vtu", 0.7 * points, cells, tags)
    refused(path, images, "Only .* lies in voxels of the same tissue.*check that both are of")
    centre = np.linalg.norm(points[cells].mean(axis=1), axis=1)
    less = np.where((tags == 3) & (centre > 7.0), 2, tags)  # a ball of 7 mm left of one of 15
    path = write_vtu(tmp_path / "m.vtu", points, cells, less)
    refused(
        path,
        images,
        "The white_matter of the mesh .* has -(89|9[0-3]) % .* at most 50 % are accepted",
    )


def test_numbers_in_hdf5_need_h5py(images, arrays, tmp_path, monkeypatch):
    path = write_xdmf(tmp_path / "m.xdmf", *arrays)
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(path, images, r"needs h5py from where dolfinx comes from .*or save the mesh as \.vtu")


def test_a_folded_mesh_is_refused_and_a_whole_one_is_not():
    box = box_mesh((4.0, 4.0, 4.0), (2, 2, 2))
    check_geometry(Path("box.vtu"), box.points, box.cells)
    corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0], [0.1, 0.1, 2.0]])
    with pytest.raises(InvalidInput, match="over one another"):  # both above the same face
        check_geometry(Path("m.vtu"), corner, np.array([[0, 1, 2, 3], [0, 1, 2, 4]]))


def test_sharp_cells_and_lost_volume_are_warned_about(images, arrays, tmp_path, caplog):
    points, cells, tags = arrays
    turned = tags.copy()
    turned[np.flatnonzero(tags == 5)] = 4
    path = write_vtu(tmp_path / "m.vtu", points, cells, turned)
    with caplog.at_level(logging.WARNING):
        own_mesh(path, MeshTable(), *images)
    assert "no necrosis, but the images have" in caplog.text
    assert "enhancing" in caplog.text
    caplog.clear()
    sharp = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0.3, 0.3, 0.05]])
    with caplog.at_level(logging.WARNING):
        check_geometry(Path("m.vtu"), sharp, np.array([[0, 1, 2, 3]]))
    assert "dihedral angle of" in caplog.text


def test_a_mesh_beyond_the_images_and_a_coarse_one_that_is_not(files, patient, arrays, tmp_path):
    points, cells, tags = arrays
    write_vtu(tmp_path / "far.vtu", points + 30.0, cells, tags)
    with pytest.raises(InvalidInput, match="same tissue"):
        twin.load(files, mesh=MeshTable(file=str(tmp_path / "far.vtu")))
    path = str(write_vtu(tmp_path / "m.vtu", points, cells, tags))
    with pytest.raises(InvalidInput, match=r"at least 1\.1 times coarser"):
        twin.load(files, mesh=MeshTable(file=path, coarse_file=path))
    with pytest.raises(InvalidInput, match="coarse_file goes with file"):
        check(MeshTable, {"coarse_file": "a.msh"}, where="patient.toml")
    with pytest.raises(InvalidInput, match='"bone" is no tissue of a mesh; known are fluid'):
        check(MeshTable, {"labels": {"bone": 3}}, where="patient.toml")
