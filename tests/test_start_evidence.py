"""A patient with several segmentations, ADC and PET: read, kept, and carried into runs."""

import nibabel as nib
import numpy as np
import pytest
from small_patient import (
    ENHANCING_RADIUS_MM,
    FLAIR_RADIUS_MM,
    NECROSIS_RADIUS_MM,
    PATIENT_TOML,
    TUMOUR_CENTRE_MM,
    write_small_patient,
)

import twin
from solvers import DifferentiableRun, FiniteElementSolver, SurrogateSolver
from solvers.initial_state import outline_distances
from twin.built_folder import read_built, write_built
from twin.errors import InvalidInput
from twin.patient_file import read_patient_file

TWO = PATIENT_TOML.replace(
    'segmentation = "segmentation.nii.gz"',
    'segmentation = ["segmentation.nii.gz", "wider.nii.gz"]\nconsensus = "majority"',
)
THREE = TWO.replace('"wider.nii.gz"]', '"wider.nii.gz", "narrower.nii.gz"]')
DENSITY = PATIENT_TOML.replace(
    'labels = "brats"',
    'labels = "brats"\ndensity = { adc = { file = "adc.nii.gz", unit = "um2/s", noise = 200.0 }, '
    'fet = { file = "fet.nii.gz", noise = 0.3, background = 2.0 } }',
)


def write(folder, toml):
    """Write the small patient, two more segmentations (2 mm wider, narrower), ADC and FET."""
    path = write_small_patient(folder, toml=toml)
    image = nib.load(folder / "segmentation.nii.gz")
    tissues = np.asarray(nib.load(folder / "tissues.nii.gz").dataobj)
    index = np.moveaxis(np.indices(image.shape), 0, -1)
    points = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    distance = np.linalg.norm(points - np.array(TUMOUR_CENTRE_MM), axis=-1)
    for name, by in (("wider", 2.0), ("narrower", -2.0)):
        labels = np.select(
            [
                distance < NECROSIS_RADIUS_MM,
                distance < ENHANCING_RADIUS_MM + by,
                (distance < FLAIR_RADIUS_MM + by) & (tissues >= 2),
            ],
            [1, 4, 2],
            0,
        )
        nib.save(nib.Nifti1Image(labels.astype(np.uint8), image.affine), folder / f"{name}.nii.gz")
    adc = np.where(distance < ENHANCING_RADIUS_MM, 980.0, 800.0)  # a density of 0.8
    fet = np.where(distance < FLAIR_RADIUS_MM, 6.2, 2.0)  # a ratio of 3.1, a density of 0.7
    for name, values in (("adc", adc), ("fet", fet)):
        nib.save(
            nib.Nifti1Image(values.astype(np.float32), image.affine), folder / f"{name}.nii.gz"
        )
    return path


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return twin.load(write(tmp_path_factory.mktemp("three"), THREE))


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return twin.load(write(tmp_path_factory.mktemp("dense"), DENSITY))


def volumes(patient, shift):
    """Hard volumes above both thresholds on day 0, [ml]."""
    moved = patient.replace(parameters=patient.parameters.replace(initial_shift=shift))
    found = FiniteElementSolver().solve(moved, twin.Regimen(), [0.0])
    return found["tumour_volume"].sel(time=0.0).values / 1e3


def test_the_middle_segmentation_is_the_tumour(three, tmp_path):
    """Of three concentric balls the majority is the middle one."""
    alone = twin.load(write_small_patient(tmp_path))
    for name in ("enhancing", "necrosis", "flair"):
        np.testing.assert_array_equal(
            three.structures[name].mask, alone.structures[name].mask, err_msg=name
        )
    assert "consensus of several segmentations" in three.describe()


@pytest.mark.parametrize(("shift", "radius"), [(-1.0, 4.0), (0.0, 6.0), (1.0, 8.0)])
def test_a_shift_of_one_moves_the_outline_by_the_readers_spread(three, shift, radius):
    """Radii of 4, 6 and 8 mm, one deviation of 2 mm: the distances of balls of such radii."""
    found = outline_distances(three, shift)["core"]
    distance = np.linalg.norm(three.mesh.points - np.array(TUMOUR_CENTRE_MM), axis=1) - radius
    near = np.abs(distance) < 6.0
    assert float(np.abs(found - distance)[near].mean()) < 0.6  # voxels of 2 mm
    assert float(np.median((found - distance)[near])) == pytest.approx(0.0, abs=0.5)


def test_a_shift_changes_what_is_visible(three):
    narrow, middle, wide = (volumes(three, shift) for shift in (-1.0, 0.0, 1.0))
    assert (narrow < 0.8 * middle).all() and (middle < 0.8 * wide).all()


def test_without_a_spread_a_shift_is_refused(tmp_path):
    patient = twin.load(write_small_patient(tmp_path))
    assert patient.evidence is None
    with pytest.raises(InvalidInput, match="has no spread to be shifted by"):
        volumes(patient, 1.0)


def test_two_readers_are_a_majority_of_none(tmp_path):
    """A voxel that one of two holds is out, so the narrower outline is the tumour."""
    patient = twin.load(write(tmp_path, TWO))
    alone = twin.load(write_small_patient(tmp_path / "alone"))
    for name in ("enhancing", "necrosis", "flair"):
        np.testing.assert_array_equal(
            patient.structures[name].mask, alone.structures[name].mask, err_msg=name
        )
    assert float(np.median(patient.evidence.spread_mm["whole"])) == pytest.approx(
        2.0 / np.sqrt(2.0), abs=0.35
    )


def test_densities_of_both_images_are_fused_where_each_speaks(dense):
    """In solid tumour 0.8 +- 0.105 (ADC) and 0.7 +- 0.1 (FET), outside FET alone."""
    evidence = dense.evidence
    solid = np.asarray(dense.structures["enhancing"].mask)
    precision = np.array([(1900.0 / 200.0) ** 2, 10.0**2])
    expected = (precision * [0.8, 0.7]).sum() / precision.sum()
    np.testing.assert_allclose(evidence.density[solid], expected, rtol=1e-4)
    np.testing.assert_allclose(evidence.density_sd[solid], precision.sum() ** -0.5, rtol=1e-4)
    flair = np.asarray(dense.structures["flair"].mask)
    np.testing.assert_allclose(evidence.density[flair], 0.7, rtol=1e-4)
    assert not np.isfinite(evidence.density[np.asarray(dense.structures["necrosis"].mask)]).any()


def test_a_density_from_images_moves_the_start_towards_it(dense):
    """Bright uptake in FLAIR, where the outlines say 0.16 to 0.8, raises the cells there."""
    plain = dense.replace(evidence=None)
    solver = FiniteElementSolver()
    burden = [
        float(solver.solve(case, twin.Regimen(), [0.0])["tumour_burden"].sel(time=0.0))
        for case in (plain, dense)
    ]
    assert burden[1] > 1.1 * burden[0]
    assert volumes(dense, 1.0)[1] > volumes(dense, 0.0)[1] > volumes(dense, -1.0)[1]


def test_the_gradient_begins_from_the_same_state(dense):
    """The differentiable run's volumes on day 0 are the solver's."""
    run = DifferentiableRun(dense, twin.Regimen(), [0.0, 1.0])
    found = run({})
    expected = FiniteElementSolver().solve(dense, twin.Regimen(), [0.0, 1.0])
    soft = expected["tumour_burden"].sel(time=1.0)
    assert float(found.burden[-1]) == pytest.approx(float(soft), rel=1e-9)


def test_evidence_is_kept_in_a_built_folder_and_counts_in_its_hash(three, dense, tmp_path):
    for name, patient in (("three", three), ("dense", dense)):
        write_built(patient, tmp_path / name)
        again = read_built(tmp_path / name)
        assert again.content_hash == patient.content_hash
        assert again.content_hash != patient.replace(evidence=None).content_hash
        for key, values in patient.evidence.arrays.items():
            np.testing.assert_array_equal(again.evidence.arrays[key], values)


def test_the_surrogate_says_that_it_begins_from_outlines(dense):
    course = twin.Radiotherapy(total_dose_gy=60, fractions=30, start_day=28)
    with pytest.raises(InvalidInput, match="begins from a density"):
        SurrogateSolver.train(dense, twin.Regimen(course), horizon_day=60)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["segmentation.nii.gz", "wider.nii.gz"]', "[]", "list of segmentations is empty"),
        ('"wider.nii.gz"]', '"segmentation.nii.gz"]', "is named twice"),
        ('"majority"', '"vote"', "consensus"),
    ],
)
def test_mistakes_in_the_file_are_one_sentence(tmp_path, old, new, message):
    path = write(tmp_path, TWO.replace(old, new))
    with pytest.raises(InvalidInput, match=message):
        read_patient_file(path)


def test_an_adc_in_the_wrong_unit_names_the_patient_file(tmp_path):
    path = write(tmp_path, DENSITY.replace('"um2/s"', '"mm2/s"'))
    with pytest.raises(InvalidInput, match=r"patient.toml: density: The ADC .* check the unit"):
        twin.load(path)
