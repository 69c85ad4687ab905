"""Tensors from diffusion-weighted signals: known ones come back, in world axes, from any grid."""

import nibabel as nib
import numpy as np
import pytest
from real_data import real_data

from twin.diffusion_mri import fit_tensor, read_gradients, world_directions
from twin.diffusion_tensor import to_matrices
from twin.errors import InvalidInput
from viz.cli import main

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
    np.testing.assert_allclose(matrix, TRUE, rtol=0, atol=2e-5)  # the plain volume is of b = 15
    assert found.mean_diffusivity[0, 0, 0] == pytest.approx(np.trace(TRUE) / 3, rel=0.03)


def test_strong_weighting_is_left_out_and_said():
    b_values, world = gradients()
    extra = np.concatenate([b_values, [3000.0]])
    vectors = np.concatenate([world, [[1.0, 0.0, 0.0]]])
    data = np.concatenate([signal(b_values, world), np.full((SIDE,) * 3 + (1,), 5.0)], axis=3)
    found = fit_tensor(data, extra, vectors)
    assert "1 volumes of b above 1500" in found.notes[0]
    np.testing.assert_allclose(to_matrices(found.tensor[0, 0, 0].astype(float)), TRUE, atol=2e-5)


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
    np.testing.assert_allclose(to_matrices(found[1, 1, 1].astype(float)), TRUE, atol=2e-5)
    assert main(arguments) == 2
    assert "is there already" in capsys.readouterr().err


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
