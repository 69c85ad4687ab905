"""Tensors from diffusion-weighted signals: known ones come back, in world axes, from any grid."""

import argparse

import nibabel as nib
import numpy as np
import pytest
from dicom_makers import make_series
from real_data import real_data

from twin.diffusion_mri import (
    B0_THRESHOLD,
    HIGHEST_B,
    fit_tensor,
    read_gradients,
    world_directions,
)
from twin.diffusion_tensor import check_tensor, to_matrices
from twin.errors import InvalidInput
from viz.cli import main, tensor

#: A tensor of white matter, [mm2/s], in right-anterior-superior axes, that no axis is special to.
TRUE = np.array([[1.1, 0.3, -0.2], [0.3, 0.7, 0.1], [-0.2, 0.1, 0.5]]) * 1e-3
SIDE = 3


def gradients(count=20, seed=3):
    """b-values with two plain volumes, and unit directions in world axes."""
    drawn = np.random.default_rng(seed).normal(size=(count, 3))
    vectors = drawn / np.linalg.norm(drawn, axis=1)[:, None]
    return (
        np.concatenate([[0.0, 15.0], np.full(count, 1000.0)]),
        np.concatenate([np.zeros((2, 3)), vectors]),
    )


def signal(b_values, directions):
    """exp(-b g' D g), the same in every voxel."""
    decay = np.exp(-b_values * np.einsum("vi,ij,vj->v", directions, TRUE, directions))
    return np.broadcast_to(1000.0 * decay, (SIDE, SIDE, SIDE, len(b_values))).copy()


def rotated(angle, flip):
    """Affine of a grid turned about an oblique axis, its first axis reversed or not."""
    axis = np.array([1.0, 2.0, 0.5]) / np.linalg.norm([1.0, 2.0, 0.5])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0 if flip else 2.0, 2.0, 2.5])
    return affine


def as_fsl(directions, affine):
    """World directions as FSL writes them beside a file with this affine."""
    turned = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    own = directions @ turned
    if np.linalg.det(turned) > 0:
        own[:, 0] *= -1.0
    return own


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
def test_a_known_tensor_comes_back_from_any_grid(angle, flip):
    b_values, world = gradients()
    affine = rotated(angle, flip)
    directions = world_directions(as_fsl(world, affine), affine)
    np.testing.assert_allclose(directions, world, atol=1e-12)
    found = fit_tensor(signal(b_values, world), b_values, directions)
    matrix = to_matrices(found.tensor[1, 1, 1].astype(float))
    np.testing.assert_allclose(matrix, TRUE, rtol=0, atol=1e-9)
    assert found.mean_diffusivity[0, 0, 0] == pytest.approx(np.trace(TRUE) / 3, rel=1e-6)
    deviator = TRUE - np.trace(TRUE) / 3 * np.eye(3)
    share = np.sqrt(1.5) * np.linalg.norm(deviator) / np.linalg.norm(TRUE)
    assert found.fractional_anisotropy[2, 0, 1] == pytest.approx(share, rel=1e-6)


def test_a_weak_b_value_with_a_direction_is_taken_as_it_is():
    b_values, world = gradients()
    world[1] = [0.6, 0.0, 0.8]
    found = fit_tensor(signal(b_values, world), b_values, world)
    np.testing.assert_allclose(to_matrices(found.tensor[0, 1, 2].astype(float)), TRUE, atol=1e-9)
    assert found.notes == ()


def test_an_average_over_directions_is_left_out():
    """Scanners append such a volume: taken as unweighted it would cost a third of the ADC."""
    b_values, world = gradients()
    average = np.full((SIDE,) * 3 + (1,), 1000.0 * np.exp(-1000.0 * np.trace(TRUE) / 3))
    data = np.concatenate([signal(b_values, world), average], axis=3)
    found = fit_tensor(data, np.append(b_values, 1000.0), np.vstack([world, np.zeros(3)]))
    np.testing.assert_allclose(to_matrices(found.tensor[0, 0, 0].astype(float)), TRUE, atol=1e-9)
    assert "1 weighted volumes without a direction" in found.notes[0]


def test_noisy_signals_give_the_weighted_fit_of_numpy():
    """Logarithms, weights of the predicted signal, and one weighted least squares."""
    b_values, world = gradients(30)
    noise = np.random.default_rng(5).normal(0.0, 20.0, (SIDE, SIDE, SIDE, len(b_values)))
    data = signal(b_values, world) + noise
    found = fit_tensor(data, b_values, world)
    x, y, z = world.T
    squares = np.stack([x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y], axis=1)
    design = np.column_stack([-b_values[:, None] * squares, np.ones(len(b_values))])
    for voxel in np.ndindex(SIDE, SIDE, SIDE):
        logarithm = np.log(data[voxel])
        first = np.linalg.lstsq(design, logarithm, rcond=None)[0]
        weight = np.exp(design @ first)
        second = np.linalg.lstsq(design * weight[:, None], logarithm * weight, rcond=None)[0]
        np.testing.assert_allclose(found.tensor[voxel], second[:6], atol=2e-8)


def test_a_voxel_without_a_positive_tensor_is_left_at_zero_and_counted():
    b_values, world = gradients()
    data = signal(b_values, world)
    odd = np.diag([1.5e-3, 0.5e-3, -0.3e-3])
    data[0, 0, 0] = 1000.0 * np.exp(-b_values * np.einsum("vi,ij,vj->v", world, odd, world))
    found = fit_tensor(data, b_values, world)
    assert not found.tensor[0, 0, 0].any()
    assert found.mean_diffusivity[0, 0, 0] == 0.0
    assert "1 of 27 voxels have no positive definite tensor" in found.notes[-1]
    check_tensor(found.tensor, np.ones((SIDE,) * 3, bool), what="it")  # as a patient file does
    with pytest.raises(InvalidInput, match="No voxel has a positive definite tensor"):
        fit_tensor(data[:1, :1, :1], b_values, world)


def test_strong_weighting_is_left_out_and_said():
    b_values, world = gradients()
    extra = np.concatenate([b_values, [3000.0]])
    vectors = np.concatenate([world, [[1.0, 0.0, 0.0]]])
    data = np.concatenate([signal(b_values, world), np.full((SIDE,) * 3 + (1,), 5.0)], axis=3)
    found = fit_tensor(data, extra, vectors)
    assert "1 volumes of b above 1500" in found.notes[0]
    np.testing.assert_allclose(to_matrices(found.tensor[0, 0, 0].astype(float)), TRUE, atol=1e-9)


def test_what_gives_no_tensor_is_refused():
    b_values, world = gradients()
    data = signal(b_values, world)
    with pytest.raises(InvalidInput, match="do not go together"):
        fit_tensor(data[..., :-1], b_values, world)
    with pytest.raises(InvalidInput, match="without weighting"):
        fit_tensor(data[..., 2:], b_values[2:], world[2:])
    with pytest.raises(InvalidInput, match="six independent directions"):
        fit_tensor(data[..., :7], b_values[:7], world[:7])
    flat = world.copy()
    flat[2:, 2] = 0.0
    with pytest.raises(InvalidInput, match="six independent directions"):
        fit_tensor(data, b_values, flat)
    with pytest.raises(InvalidInput, match="the second must be the larger"):
        fit_tensor(data, b_values, world, b0_threshold=float("nan"))
    with pytest.raises(InvalidInput, match="No voxel has a signal"):
        fit_tensor(0.0 * data, b_values, world)


@pytest.mark.parametrize("across", [False, True])
def test_text_files_in_rows_or_columns_with_missing_directions(tmp_path, across):
    b_values, world = gradients(6)
    world[0] = np.nan
    np.savetxt(tmp_path / "a.bval", b_values[None])
    np.savetxt(tmp_path / "a.bvec", world.T if across else world)
    values, vectors = read_gradients(tmp_path / "a.bval", tmp_path / "a.bvec")
    np.testing.assert_allclose(values, b_values)
    np.testing.assert_allclose(vectors, np.nan_to_num(world))
    (tmp_path / "b.bvec").write_text("1 2 x\n")
    with pytest.raises(InvalidInput, match="nothing but numbers"):
        read_gradients(tmp_path / "a.bval", tmp_path / "b.bvec")


def test_the_command_writes_tensors_for_a_patient_file(tmp_path, capsys):
    b_values, world = gradients()
    affine = rotated(0.3, True)
    nib.save(nib.Nifti1Image(signal(b_values, world).astype(np.float32), affine),
             tmp_path / "dwi.nii.gz")  # fmt: skip
    np.savetxt(tmp_path / "dwi.bval", b_values[None])
    np.savetxt(tmp_path / "dwi.bvec", as_fsl(world, affine).T)
    target = tmp_path / "tensor.nii.gz"
    arguments = ["tensor", str(tmp_path / "dwi.nii.gz"), "-o", str(target), "--quiet"]
    assert main(arguments) == 0
    assert 'frame = "world"' in capsys.readouterr().out
    found = np.asarray(nib.load(target).dataobj)
    # single precision of the signal
    np.testing.assert_allclose(to_matrices(found[1, 1, 1].astype(float)), TRUE, atol=1e-8)
    assert main(arguments) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*arguments, "--force", "--b0-threshold", "10"]) == 0
    assert main([*arguments, "--force", "--highest-b", "900"]) == 2
    assert "up to 900 s/mm2 do not give six" in capsys.readouterr().err


def test_defaults_of_the_command_are_those_of_the_function():
    parser = argparse.ArgumentParser()
    tensor.add_arguments(parser)
    options = parser.parse_args(["dwi.nii.gz", "-o", "tensor.nii.gz"])
    assert (options.b0_threshold, options.highest_b) == (B0_THRESHOLD, HIGHEST_B)


def test_the_command_reads_a_dicom_series(tmp_path):
    """Oblique slices, directions in the axes of DICOM; signals by the known tensor."""
    b_values, world = gradients(8)
    world[1] = [0.0, 0.6, 0.8]  # a weak b-value needs its direction in DICOM
    decay = signal(b_values, world)[0, 0, 0]
    for number, (b_value, direction, value) in enumerate(zip(b_values, world, decay, strict=True)):

        def change(ds, k, b_value=b_value, direction=direction, number=number):
            ds.DiffusionBValue = b_value
            if direction.any():
                ds.DiffusionGradientOrientation = list(direction * [-1.0, -1.0, 1.0])
            ds.InstanceNumber = 100 * number + k
            ds.SOPInstanceUID = f"{ds.SOPInstanceUID}.{number}"[-64:]

        make_series(
            tmp_path / "dwi" / str(number), modality="MR", shape=(3, 4, 5), change=change,
            orientation=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0),
            values=np.full((3, 4, 5), round(20 * value)),
            dtype=np.uint16,
        )  # fmt: skip
    target = tmp_path / "tensor.nii.gz"
    assert main(["tensor", str(tmp_path / "dwi"), "-o", str(target), "--quiet"]) == 0
    found = np.asarray(nib.load(target).dataobj)
    # signals are whole numbers up to 20000
    np.testing.assert_allclose(to_matrices(found[1, 1, 1].astype(float)), TRUE, atol=1e-6)


def test_real_series_of_64_directions_and_of_a_grid_of_q(tmp_path):
    """Anisotropy of white matter in a piece of a brain; the second has b from 15 to 4065."""
    folder = real_data("dipy-dwi")
    for stem, suffix, threshold in (("small_64D", ".nii", 50.0), ("small_101D", ".nii.gz", 50.0)):
        image = nib.load(folder / f"{stem}{suffix}")
        values, vectors = read_gradients(folder / f"{stem}.bval", folder / f"{stem}.bvec")
        data = np.asarray(image.dataobj, np.float32)
        found = fit_tensor(
            data, values, world_directions(vectors, image.affine), b0_threshold=threshold
        )
        known = found.fractional_anisotropy > 0
        assert known.mean() > 0.5
        assert 0.3e-3 < float(np.median(found.mean_diffusivity[known])) < 1.5e-3, stem
        assert float(np.percentile(found.fractional_anisotropy[known], 95)) > 0.4, stem
