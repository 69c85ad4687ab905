"""dolfinx and h5netcdf share one HDF5 library, whichever is imported first.

Two copies of the library in a process crash it, so each order is tried in a process of its own.
"""

import subprocess
import sys

import pytest

DOLFINX = """
import dolfinx
from mpi4py import MPI
mesh = dolfinx.mesh.create_unit_cube(MPI.COMM_SELF, 2, 2, 2)
with dolfinx.io.XDMFFile(MPI.COMM_SELF, "mesh.xdmf", "w") as file:
    file.write_mesh(mesh)
"""
NETCDF = """
import numpy, xarray
wanted = xarray.Dataset({"dose": ("node", numpy.linspace(0.0, 60.0, 27), {"units": "Gy"})})
wanted.to_netcdf("result.nc", engine="h5netcdf")
with xarray.open_dataset("result.nc", engine="h5netcdf") as read:
    assert read.load().identical(wanted)
"""


def run(folder, *steps):
    return subprocess.run(
        [sys.executable, "-c", "\n".join([*steps, "print('both done')"])],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "steps",
    [
        ("import dolfinx", NETCDF, DOLFINX),
        ("import xarray, h5netcdf", DOLFINX, NETCDF),
        (NETCDF, DOLFINX, NETCDF),
        (DOLFINX, NETCDF, DOLFINX),
    ],
    ids=["dolfinx first", "h5netcdf first", "written, dolfinx, written", "mesh, written, mesh"],
)
def test_both_write_and_read_in_one_process(tmp_path, steps):
    ended = run(tmp_path, *steps)
    assert ended.returncode == 0, f"exit {ended.returncode}: {ended.stderr[-2000:]}"
    assert ended.stdout.strip() == "both done"
    assert (tmp_path / "mesh.h5").stat().st_size > 0
