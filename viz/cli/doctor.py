"""What is installed, what works, what is missing and how to get it: `twin doctor`.

What may crash or print (dolfinx with its HDF5, rendering) is tried in a process of its own, so that
the report comes whatever happens there.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from twin import storage

__all__ = ["as_text", "report"]

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "torch",
    "xarray",
    "pandas",
    "h5netcdf",
    "nibabel",
    "pydantic",
    "pyvista",
    "vtk",
    "matplotlib",
    "rich",
    "safetensors",
)

INDENT = 18
SET_UP = "run `make setup` in the project's folder"
APT = "apt-get install {} (Debian, Ubuntu)"

# Each prints one JSON document as its last line.
FINITE_ELEMENTS = """
import json, os, tempfile
import dolfinx, numpy
from mpi4py import MPI
from petsc4py import PETSc
import h5py
with tempfile.TemporaryDirectory() as folder:
    with h5py.File(os.path.join(folder, "a.h5"), "w") as file:
        file["a"] = numpy.arange(3)
print(json.dumps({
    "dolfinx": dolfinx.__version__,
    "petsc": ".".join(map(str, PETSc.Sys.getVersion())),
    "petsc_scalar": numpy.dtype(PETSc.ScalarType).name,
    "petsc_index": numpy.dtype(PETSc.IntType).name,
    "mpi": MPI.Get_library_version().split(",")[0].split("\\n")[0].strip(" \\0"),
    "h5py": h5py.__version__,
    "hdf5": h5py.version.hdf5_version,
    "h5py_from": os.path.dirname(h5py.__file__),
}))
"""
RENDERING = """
import json, time
start = time.perf_counter()
import pyvista
plotter = pyvista.Plotter(off_screen=True, window_size=(64, 64))
plotter.background_color = "white"
plotter.add_mesh(pyvista.Sphere(), color="red", lighting=False)
picture = plotter.screenshot(return_img=True)
red = bool(picture[32, 32, 0] > 200 and picture[32, 32, 2] < 60 and picture[0, 0, 2] > 200)
print(json.dumps({
    "drawn": red,
    "window": plotter.render_window.GetClassName() if plotter.render_window else "",
    "seconds": round(time.perf_counter() - start, 2),
}))
"""
GPU = """
import json, torch
found = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"names": found, "torch_build": torch.version.cuda or torch.version.hip or "cpu"}))
"""


def _try(code: str, seconds: float = 120.0) -> tuple[dict[str, Any], str]:
    """Return what a fresh Python prints for the code, and the reason where it fails."""
    # As if alone: inside mpirun a second MPI_Init in a child would wait for the other ranks.
    alone = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMI_", "PMIX_"))}
    alone |= {k: v for k, v in os.environ.items() if k.startswith("OMPI_ALLOW_RUN_AS_ROOT")}
    with tempfile.TemporaryDirectory() as empty:
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-c", code],
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                env=alone,
                cwd=empty,
            )
        except subprocess.TimeoutExpired:
            return {}, f"no answer within {seconds:.0f} s"
    if ended.returncode < 0:
        return {}, f"the process crashed (signal {-ended.returncode})"
    lines = ended.stdout.strip().splitlines()
    if ended.returncode or not lines:
        said = ended.stderr.strip().splitlines()
        return {}, said[-1] if said else f"ended with {ended.returncode}"
    return json.loads(lines[-1]), ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _compilers() -> dict[str, str | None]:
    """Return the paths of the compilers that dolfinx calls for its generated C, and of C++."""
    c = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    cxx = os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++"
    return {"c": shutil.which(c.split()[0]), "c++": shutil.which(cxx.split()[0])}


def _cache() -> dict[str, Any]:
    folder = storage.cache_folder()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return {
        "folder": str(folder),
        "writable": nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK),
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "free_megabytes": round(shutil.disk_usage(nearest).free / 1e6),
    }


def _ranks() -> int:
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 1


def report() -> dict[str, Any]:
    """Return what is installed and what works here; takes a few seconds.

    Returns
    -------
    dict
        ``python``, ``machine``, ``packages`` (name to version or None), ``finite_elements``,
        ``gpu``, ``rendering``, ``compilers``, ``cache``, and ``missing``: a list of what does not
        work, each with its ``remedy``. ``ok`` is true where nothing is missing.

    Examples
    --------
    >>> found = report()
    >>> found["packages"]["numpy"] is not None
    True
    """
    missing: list[dict[str, str]] = []

    def miss(what: str, remedy: str) -> None:
        missing.append({"what": what, "remedy": remedy})

    packages = {name: _version(name) for name in PACKAGES}
    for name, version in packages.items():
        if version is None and name != "vtk":  # Debian's vtk does not register itself
            miss(name, SET_UP)

    elements, reason = _try(FINITE_ELEMENTS)
    if reason:
        miss(
            f"dolfinx with h5py ({reason})",
            f"{APT.format('python3-dolfinx python3-h5py')} or fenics-dolfinx and h5py from "
            f"conda-forge; then {SET_UP}",
        )
    elif elements["petsc_scalar"] != "float64":
        miss("a PETSc of real numbers", APT.format("python3-dolfinx-real") + " and unset PETSC_DIR")

    compilers = _compilers()
    if compilers["c"] is None:
        miss("a C compiler, which dolfinx needs to build its forms", APT.format("gcc g++"))

    rendering, why = _try(RENDERING)
    rendering["works"] = bool(rendering.get("drawn"))
    if not rendering["works"]:
        rendering["reason"] = why or "the picture came out empty"
        miss(f"off-screen rendering ({rendering['reason']})", APT.format("libgl1 libegl1"))

    cache = _cache()
    if not cache["writable"]:
        miss(f"a cache folder to write to ({cache['folder']})", "set TWIN_CACHE to one")

    gpu, no_torch = _try(GPU)
    gpu = {"names": [], "torch_build": None} | gpu
    gpu["driver"] = shutil.which("nvidia-smi") is not None
    if no_torch and packages["torch"]:
        miss(f"a torch that can be imported ({no_torch})", SET_UP)

    return {
        "therapy_twin": _version("therapy-twin"),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "machine": {
            "system": _system(),
            "cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "mpi_ranks": _ranks(),
            "mpirun": shutil.which("mpirun"),
        },
        "packages": packages,
        "finite_elements": elements,
        "gpu": gpu,
        "rendering": rendering,
        "compilers": compilers,
        "cache": cache,
        "missing": missing,
        "ok": not missing,
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform())
    except OSError:
        return platform.platform()


def _wrapped(parts: Iterable[str]) -> str:
    return textwrap.fill(", ".join(parts), 80, subsequent_indent=" " * INDENT)


def as_text(report: dict[str, Any]) -> str:
    """Return a report in lines for a person to read.

    Examples
    --------
    >>> print(as_text(report()))  # doctest: +ELLIPSIS
    therapy-twin ...
    """
    machine, cache = report["machine"], report["cache"]
    compilers = report["compilers"].items()
    rows = [
        ("Machine", f"{machine['system']}, {machine['cores']} cores"),
        ("Python", f"{report['python']['version']} at {report['python']['executable']}"),
        *_finite_element_rows(report["finite_elements"], machine),
        ("Packages", _wrapped(f"{k} {v or '-'}" for k, v in report["packages"].items())),
        ("GPU", _gpu_text(report["gpu"])),
        ("Compilers", ", ".join(f"{name}: {path or 'none'}" for name, path in compilers)),
        ("Rendering", _rendering_text(report["rendering"])),
        (
            "Cache",
            f"{cache['folder']}, {'writable' if cache['writable'] else 'NOT writable'}, "
            f"{cache['megabytes']} MB used, {cache['free_megabytes']} MB free on the disk",
        ),
    ]
    for miss in report["missing"]:
        rows += [("Missing", miss["what"]), ("  remedy", miss["remedy"])]
    if not report["missing"]:
        rows.append(("Missing", "nothing"))
    title = f"therapy-twin {report['therapy_twin'] or '(not installed)'}, for research only"
    return "\n".join([title, "", *(f"{head:<{INDENT}}{text}" for head, text in rows)])


def _finite_element_rows(found: dict[str, Any], machine: dict[str, Any]) -> list[tuple[str, str]]:
    if not found:
        return [("Finite elements", "not working")]
    ranks = f"{machine['mpi_ranks']} rank{'s' * (machine['mpi_ranks'] > 1)} now"
    launcher = "mpirun is there" if machine["mpirun"] else "no mpirun, so never more than one"
    return [
        (
            "Finite elements",
            f"dolfinx {found['dolfinx']}, PETSc {found['petsc']} ({found['petsc_scalar']})",
        ),
        ("MPI", f"{found['mpi']}, {ranks}, {launcher}"),
        ("HDF5", f"{found['hdf5']}, h5py {found['h5py']} in {found['h5py_from']}"),
    ]


def _gpu_text(found: dict[str, Any]) -> str:
    if found["names"]:
        return f"{', '.join(found['names'])} (torch is built for {found['torch_build']})"
    if found["driver"]:
        return f"there is one, but torch is built for {found['torch_build']}; all runs on the CPU"
    return "none; everything runs on the CPU"


def _rendering_text(found: dict[str, Any]) -> str:
    if not found["works"]:
        return f"does not work: {found['reason']}"
    return f"off-screen works ({found['window']}, {found['seconds']} s)"
