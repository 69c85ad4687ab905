import shutil

import nibabel as nib
import numpy as np
import pytest
from small_patient import (
    ENHANCING_RADIUS_MM,
    FLAIR_RADIUS_MM,
    HEAD_RADIUS_MM,
    NECROSIS_RADIUS_MM,
    PATIENT_TOML,
    write_small_patient,
)

import twin
from twin import patient_meshes
from twin.errors import GeometryMismatch, InvalidInput
from twin.meshing import build as meshing_build
from twin.patient_file import read_patient_file
from twin.storage import StorageFailed


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TWIN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    return write_small_patient(folder)


@pytest.fixture(scope="module")
def patient(original):
    return twin.load(original)


@pytest.fixture
def files(original, tmp_path):
    """A copy of the patient's files that a test may spoil."""
    shutil.copytree(original.parent, tmp_path / "in")
    return tmp_path / "in" / "patient.toml"


def change(path, name, function, affine=None):
    image = nib.load(path.parent / f"{name}.nii.gz")
    data = function(np.asarray(image.dataobj).copy())
    nib.save(
        nib.Nifti1Image(data, image.affine if affine is None else affine),
        path.parent / f"{name}.nii.gz",
    )


def ball_ml(radius_mm):
    return 4.0 / 3.0 * np.pi * radius_mm**3 / 1e3


def test_the_small_patient_is_what_was_drawn(patient):
    assert len(patient.mesh.points) < 5000
    assert len(patient.coarse_mesh.points) < len(patient.mesh.points)
    assert len(patient.coarsest_mesh.points) < len(patient.coarse_mesh.points)
    assert patient.grid.spacing_mm == pytest.approx(2.0)
    # a ball of three voxels radius loses up to a fifth to its steps
    core = patient.volume_ml("necrosis") + patient.volume_ml("enhancing")
    assert patient.volume_ml("necrosis") == pytest.approx(ball_ml(NECROSIS_RADIUS_MM), rel=0.35)
    assert core == pytest.approx(ball_ml(ENHANCING_RADIUS_MM), rel=0.2)
    assert core + patient.volume_ml("flair") == pytest.approx(ball_ml(FLAIR_RADIUS_MM), rel=0.1)
    assert patient.volume_ml("brain") == pytest.approx(ball_ml(HEAD_RADIUS_MM), rel=0.05)
    head = patient.mesh.cell_volume.sum() / 1e3
    assert head == pytest.approx(ball_ml(HEAD_RADIUS_MM), rel=0.06)
    centre = patient.mesh.points[patient.mesh.cells].mean(axis=1)
    away = np.linalg.norm(centre - [6.0, 2.0, 4.0], axis=1)
    tumour = patient.mesh.cells_labelled("enhancing", "necrosis")
    assert away[tumour].max() < ENHANCING_RADIUS_MM + 2.0
    assert tumour[away < ENHANCING_RADIUS_MM - 2.0].all()


def test_the_masks_lie_where_the_files_say(patient, original):
    labels = nib.load(original.parent / "segmentation.nii.gz")
    voxels = np.argwhere(np.asarray(labels.dataobj) == 4)
    expected = (voxels @ labels.affine[:3, :3].T + labels.affine[:3, 3]).mean(axis=0)
    mask = patient.structures["enhancing"].mask
    assert patient.grid.to_world(np.argwhere(mask)).mean(axis=0) == pytest.approx(expected)


def test_files_in_another_axis_order_give_the_same_patient(files, patient):
    for name in ("t1", "tissues", "segmentation", "structures"):
        image = nib.load(files.parent / f"{name}.nii.gz")
        turned = image.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
        nib.save(turned, files.parent / f"{name}.nii.gz")
    assert twin.load(files).content_hash == patient.content_hash


def test_a_built_folder_holds_the_same_patient(original, patient, tmp_path):
    built = twin.build(original, tmp_path / "out")
    again = twin.load(tmp_path / "out")
    assert built.content_hash == again.content_hash == patient.content_hash
    assert again.parameters == patient.parameters
    assert again.calendar == patient.calendar
    assert again.structures["brainstem"].stylised
    assert np.array_equal(again.image, patient.image)
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [
        "coarse_mesh.npz",
        "coarsest_mesh.npz",
        "mesh.npz",
        "quality.json",
        "quality.txt",
        "twin.json",
        "voxels.npz",
    ]
    assert "degrees" in (tmp_path / "out" / "quality.txt").read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_the_second_build_makes_no_mesh(original, patient, monkeypatch):
    def again(*arguments, **options):
        pytest.fail("meshed again")

    monkeypatch.setattr(patient_meshes, "build_mesh_with_report", again)
    assert twin.load(original).content_hash == patient.content_hash


def test_cells_follow_thin_layers_and_the_front(original):
    """In 60 days the front comes 2 sqrt(0.13 * 0.03) * 60 = 7.5 mm far; it is 2.08 mm wide."""
    table = read_patient_file(original).mesh.model_copy(update={"fine_margin": 0.0})

    def cells(**changes):
        return np.bincount(
            twin.load(original, mesh=table.model_copy(update=changes)).mesh.cell_label
        )

    thin, wide = cells(cell_size=1.6), cells(cell_size=1.6, thin_cell_size=table.far_mm)
    assert wide[1] < 0.8 * thin[1]  # the fluid is 3 mm thick
    without = cells(cell_size=4.0, thin_cell_size=table.far_mm)
    front = cells(cell_size=4.0, thin_cell_size=table.far_mm, front_time=60.0)
    assert front[2] > 1.3 * without[2]


def test_how_meshes_were_made_is_kept_and_said(original, patient, tmp_path, monkeypatch):
    assert all("Fitted to the interfaces" in one for one in patient.mesh_origins())
    again = twin.load(original)  # from the cache
    assert again.mesh_origins() == patient.mesh_origins()
    monkeypatch.setattr(meshing_build, "SMALLEST_DIHEDRAL_DEG", 60.0)
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path / "cache"))
    finer = read_patient_file(original).mesh.model_copy(update={"cell_size": 1.6})
    twin.build(original, tmp_path / "out", mesh=finer)
    said = (tmp_path / "out" / "quality.txt").read_text()
    assert "mesh: The unmoved lattice with stepped interfaces, because" in said
    assert twin.load(tmp_path / "out").mesh_origins()[0].startswith("mesh: The unmoved lattice")


def test_a_damaged_cache_is_made_again(original, patient, cache):
    for path in (cache / "meshes").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert twin.load(original).content_hash == patient.content_hash


def test_building_twice_changes_nothing_and_another_patient_is_refused(files, tmp_path):
    out = tmp_path / "out"
    twin.build(files, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    twin.build(files, out)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    files.write_text(PATIENT_TOML.replace("1.8 m2", "1.7 m2"))
    with pytest.raises(InvalidInput, match="another patient"):
        twin.build(files, out)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    twin.build(files, out, force=True)
    assert twin.load(out).body_surface_m2 == 1.7
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_something_else_is_left_alone(original, tmp_path, force):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInput, match="something else"):
        twin.build(original, tmp_path, force=force)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InvalidInput, match="is a file"):
        twin.build(original, tmp_path / "thesis.txt", force=force)


def test_a_full_disk_leaves_nothing_half_written(original, patient, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(StorageFailed, match="disk is full"):
        twin.build(original, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_built_folder_is_refused(original, tmp_path):
    twin.build(original, tmp_path / "out")
    voxels = tmp_path / "out" / "voxels.npz"
    whole = voxels.read_bytes()
    voxels.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="damaged"):
        twin.load(tmp_path / "out")
    voxels.write_bytes(whole)
    record = tmp_path / "out" / "twin.json"
    record.write_text(
        record.read_text().replace('"body_surface_m2": 1.8', '"body_surface_m2": 1.9')
    )
    with pytest.raises(InvalidInput, match="changed by hand"):
        twin.load(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="not a built patient"):
        twin.load(tmp_path / "empty")


def set_all(value):
    return lambda data: np.full_like(data, value)


def put(value):
    def function(data):
        data[14, 14, 14] = value
        return data

    return function


@pytest.mark.parametrize(
    ("name", "function", "says"),
    [
        ("segmentation", set_all(0), "background only"),
        ("segmentation", set_all(1), "the label 1 everywhere"),
        ("segmentation", put(9), "a label 9 without a name"),
        ("segmentation", lambda data: np.where(data == 4, 0, data), "no voxel of enhancing"),
        ("segmentation", lambda data: np.roll(data, 12, axis=0), "outside the head"),
        ("segmentation", lambda data: data + np.float32(0.5) * (data > 0), "not whole"),
        ("segmentation", lambda data: -data.astype(np.int16), "labels from -4 to 0"),
        ("tissues", set_all(0), "background only"),
        ("tissues", set_all(3), "no voxel of fluid"),
        ("tissues", put(7), "a label 7 without a name"),
        ("structures", set_all(0), "brainstem has no voxel"),
        ("structures", put(5), "a label 5 without a name"),
        ("segmentation", lambda data: data[:-1], "28 x 29 x 29 voxels but the tissue map"),
    ],
)
def test_bad_images_are_told_in_one_sentence(files, tmp_path, name, function, says):
    change(files, name, function)
    with pytest.raises(InvalidInput) as caught:
        twin.build(files, tmp_path / "out")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_an_image_on_another_grid_is_a_mismatch(files):
    affine = nib.load(files.parent / "t1.nii.gz").affine.copy()
    affine[1, 3] += 4.0
    change(files, "t1", lambda data: data, affine)
    with pytest.raises(GeometryMismatch, match=r"T1 image t1\.nii\.gz .* 4 mm apart"):
        twin.load(files)


def test_a_missing_or_truncated_image(files):
    whole = (files.parent / "segmentation.nii.gz").read_bytes()
    (files.parent / "segmentation.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="damaged or cut short"):
        twin.load(files)
    (files.parent / "segmentation.nii.gz").unlink()
    with pytest.raises(InvalidInput, match="does not exist"):
        twin.load(files)


def test_treatment_given_already_is_part_of_the_patient(files, patient):
    cavity = np.zeros(nib.load(files.parent / "tissues.nii.gz").shape, np.uint8)
    cavity[8:11, 8:11, 8:11] = 1
    nib.save(
        nib.Nifti1Image(cavity, nib.load(files.parent / "tissues.nii.gz").affine),
        files.parent / "cavity.nii.gz",
    )
    files.write_text(
        PATIENT_TOML + '\n[[history.resection]]\ndate = 2026-03-02\ncavity = "cavity.nii.gz"\n'
    )
    operated = twin.load(files)
    assert operated.structures["cavity"].mask.sum() == 27
    assert operated.delivered.resections[0].structure == "cavity"
    assert operated.content_hash != patient.content_hash
    assert "Resection" in operated.describe()


def test_the_hash_counts_what_a_run_depends_on(patient):
    same = [
        patient.replace(parameters=patient.parameters.replace(alpha=0.05)),
        patient.replace(name="another name"),
        patient.replace(image=None),
    ]
    assert {other.content_hash for other in same} == {patient.content_hash}
    fewer = {name: part for name, part in patient.structures.items() if name != "brainstem"}
    different = [
        patient.replace(body_surface_m2=1.9),
        patient.replace(structures=fewer),
        patient.on_coarse_mesh(),
    ]
    assert patient.content_hash not in {other.content_hash for other in different}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"body_surface_m2": float("nan")}, InvalidInput),
        ({"body_surface_m2": 18.0}, InvalidInput),
        ({"tissues": np.zeros((3, 3, 3), np.int8)}, GeometryMismatch),
        ({"image": np.zeros((3, 3, 3), np.float32)}, GeometryMismatch),
        ({"structures": {}}, InvalidInput),
    ],
)
def test_a_twin_is_valid_or_not_there(patient, changes, error):
    with pytest.raises(error):
        patient.replace(**changes)


def test_overlapping_tumour_parts_and_unknown_alpha_beta_are_refused(patient):
    parts = dict(patient.structures)
    both = {**parts, "flair": twin.Structure(parts["enhancing"].mask, "tumour")}
    with pytest.raises(InvalidInput, match="must not overlap"):
        patient.replace(structures=both)
    unknown = twin.Structure(parts["brainstem"].mask, "organ", parameter="alpha_beta_stem")
    with pytest.raises(InvalidInput, match="alpha_beta_stem"):
        patient.replace(structures={**parts, "brainstem": unknown})


def test_the_mesh_must_lie_in_the_images(patient):
    away = twin.Mesh(
        points=patient.mesh.points + np.array([60.0, 0.0, 0.0]),
        cells=patient.mesh.cells,
        cell_label=patient.mesh.cell_label,
        label_names=patient.mesh.label_names,
    )
    with pytest.raises(GeometryMismatch, match="out of the images"):
        patient.replace(mesh=away)
