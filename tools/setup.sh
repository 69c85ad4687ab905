#!/usr/bin/env bash
# Makes .venv, the virtual environment that everything here runs in. Safe to repeat: when nothing has
# changed it ends at once.
#
#   tools/setup.sh        what the demo and the tests need
#   tools/setup.sh dev    also ruff, mypy and what the scripts in data/ need
#
# dolfinx is not on PyPI, so .venv stands on a Python that can import it: $TWIN_PYTHON, an active conda
# environment, or the distribution's. Where there is none, Debian's and Ubuntu's packages are installed.
#
#   TWIN_PYTHON=/path/to/python   the Python to build on
#   TWIN_TORCH=gpu                take PyPI's torch, with several gigabytes of GPU libraries
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras=test${1:+,$1}
venv=.venv
log=.setup/log
oldest_dolfinx=0.5
oldest_torch=2.1
torch_cpu_index=https://download.pytorch.org/whl/cpu

say() { echo "setup: $*" >&2; }
fail() {
  say "$*"
  exit 1
}
quietly() { # quietly COMMAND...: its output goes to the log, and is shown only when it fails
  "$@" >>"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    return 1
  }
}
by_conda="With conda it works anywhere: conda env create -f environment.yml && conda activate therapy-twin, then the same command."

# ---- nothing to do? ------------------------------------------------------------------------------
key=$({ pwd; cat tools/setup.sh pyproject.toml constraints/*.txt; cat /etc/os-release 2>/dev/null || true; } | sha256sum)
stamp_of() { echo "$venv/set-up-${1//,/-}"; }
is_done() { [ -x $venv/bin/python ] && [ "$(cat "$(stamp_of "$1")" 2>/dev/null)" = "$key" ]; }
if is_done "$extras" || is_done test,dev; then exit 0; fi
mkdir -p .setup
if command -v flock >/dev/null; then # two at once: the second waits, then looks again
  exec 9>.setup/lock
  flock 9
  if is_done "$extras" || is_done test,dev; then exit 0; fi
fi
: >"$log"

# ---- a Python with dolfinx -----------------------------------------------------------------------
can_import() { "$1" -c "import $2" >/dev/null 2>&1; }
fits() { # fits PYTHON: 3.11 or newer, no virtual environment itself, and its dolfinx is new enough
  "$1" - $oldest_dolfinx >/dev/null 2>&1 <<'PYTHON'
import sys

import dolfinx

number = lambda text: [int(part) for part in text.split(".")[:2]]
old = number(dolfinx.__version__) < number(sys.argv[1])
sys.exit(sys.version_info < (3, 11) or sys.prefix != sys.base_prefix or old)
PYTHON
}
find_python() {
  local candidate
  for candidate in ${TWIN_PYTHON:+"$TWIN_PYTHON"} ${CONDA_PREFIX:+"$CONDA_PREFIX/bin/python"} python3 /usr/bin/python3; do
    if fits "$candidate"; then command -v "$candidate" && return; fi
    [ "$candidate" != "${TWIN_PYTHON:-}" ] || fail "TWIN_PYTHON=$TWIN_PYTHON is not a Python 3.11 or newer that imports dolfinx $oldest_dolfinx or newer."
  done
}
candidate_version() { apt-cache policy "$1" | sed -n 's/^ *Candidate: *\([0-9]*:\)\?//p'; }
offers() { # offers PACKAGE VERSION: apt could install that version or a newer one
  dpkg --compare-versions "$(candidate_version "$1")" ge "$2" 2>/dev/null
}
apt_install() {
  command -v apt-get >/dev/null || fail "$* missing here, and this is no Debian or Ubuntu. $by_conda"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "$* missing: an administrator has to run 'apt-get install $*'. $by_conda"
    as_root=(sudo)
  fi
  say "installing from the distribution: $*"
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" 9>&- ||
    fail "could not install them; the whole story is in $log. $by_conda"
}
apt_update() {
  [ -z "${updated:-}" ] || return 0
  updated=yes
  say "asking the distribution for its list of packages"
  if [ "$(id -u)" = 0 ]; then quietly apt-get update || true; elif command -v sudo >/dev/null; then quietly sudo apt-get update || true; fi
}

python=$(find_python)
if [ -z "$python" ]; then
  command -v apt-get >/dev/null || fail "no Python here can import dolfinx, and this is no Debian or Ubuntu. $by_conda"
  say "no Python here can import dolfinx"
  apt_update
  offers python3-dolfinx $oldest_dolfinx || fail "dolfinx $oldest_dolfinx or newer is needed; this distribution offers: $(candidate_version python3-dolfinx). $by_conda"
  offers python3 3.11 || fail "Python 3.11 or newer is needed; this distribution offers: $(candidate_version python3). $by_conda"
  apt_install python3-dolfinx python3-venv python3-h5py libgl1 libegl1 gcc g++
  python=$(find_python)
  [ -n "$python" ] || fail "python3-dolfinx is installed, but no Python can import it: try '/usr/bin/python3 -c \"import dolfinx\"'. $by_conda"
fi
say "on $("$python" -c 'import dolfinx, sys; print("Python", sys.version.split()[0], "with dolfinx", dolfinx.__version__, "at", sys.executable)')"

# ---- what else comes from the same place as dolfinx -----------------------------------------------
prefix=$("$python" -c 'import sys; print(sys.prefix)')
has_library() { "$python" -c "import ctypes; ctypes.CDLL('$1')" >/dev/null 2>&1; }
if [ "$prefix" = /usr ]; then
  missing=()
  can_import "$python" ensurepip || missing+=(python3-venv)
  can_import "$python" h5py || missing+=(python3-h5py)
  has_library libGL.so.1 || missing+=(libgl1)
  has_library libEGL.so.1 || missing+=(libegl1)
  command -v gcc >/dev/null || missing+=(gcc)
  command -v g++ >/dev/null || missing+=(g++)
  if ! can_import "$python" torch && command -v apt-cache >/dev/null; then
    [ -n "$(candidate_version python3-torch)" ] || apt_update
    if offers python3-torch $oldest_torch; then missing+=(python3-torch); fi
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    apt_update
    apt_install "${missing[@]}"
  fi
  # shellcheck disable=SC1091
  base=$(. /etc/os-release && echo "$ID${VERSION_ID:-}")
else
  can_import "$python" h5py || fail "h5py has to come from the same place as dolfinx: conda install -c conda-forge h5py (see environment.yml)."
  base=generic
fi
constraints=constraints/$base.txt
case $base in debian) constraints=constraints/debian-sid.txt ;; esac
[ -e "$constraints" ] || constraints=constraints/generic.txt

# ---- the virtual environment -----------------------------------------------------------------------
if ! $venv/bin/python -c "import dolfinx, sys; sys.exit(sys.base_prefix != '$prefix')" >/dev/null 2>&1; then
  say "making $venv"
  quietly "$python" -m venv --clear --system-site-packages $venv
fi
pip() { quietly $venv/bin/python -m pip --disable-pip-version-check install "$@"; }

# torch: the distribution's or conda's own; else the CPU wheel, where pip is already set to look or on
# PyTorch's own index. The "+cpu" in the constraint means that pip cannot take the GPU build instead.
numpy=$("$python" -c 'import numpy; print("numpy>=1.26," + ("<2" if numpy.__version__ < "2" else ">=2"))')
if ! $venv/bin/python -c "import torch; assert [int(n) for n in torch.__version__.split('.')[:2]] >= [int(n) for n in '$oldest_torch'.split('.')]" >/dev/null 2>&1; then
  answers() { $venv/bin/python -c "import urllib.request; urllib.request.urlopen('$torch_cpu_index/torch/', timeout=5)" >/dev/null 2>&1; }
  cpu=(--no-deps -c constraints/torch-cpu.txt torch)
  if [ "${TWIN_TORCH:-cpu}" = gpu ]; then
    say "installing torch as PyPI has it (TWIN_TORCH=gpu): several gigabytes"
    pip "torch>=$oldest_torch"
  elif say "installing torch (the CPU build)" && $venv/bin/python -m pip --disable-pip-version-check install "${cpu[@]}" >>"$log" 2>&1; then
    :
  elif answers; then
    say "taking it from $torch_cpu_index"
    pip --index-url $torch_cpu_index "${cpu[@]}"
  else
    fail "no CPU build of torch: pip's own sources have none and $torch_cpu_index does not answer. To take PyPI's build with several gigabytes of GPU libraries: TWIN_TORCH=gpu tools/setup.sh"
  fi
fi

say "installing the rest from PyPI, as pinned in $constraints"
pip -c "$constraints" "$numpy" --editable ".[$extras]"
# dipy and what it reads tractograms with ask for h5py, of which pip does not see the distribution's.
if ! $venv/bin/python -c "import dipy.reconst.dti" >/dev/null 2>&1; then pip -c "$constraints" --no-deps "dipy>=1.9" "trx-python>=0.3"; fi

# HDF5 from one place only: PyPI's h5py and netCDF4 bring a second copy, which crashes beside dolfinx's.
for package in h5py netCDF4; do
  if ls -d $venv/lib/python3*/site-packages/$package >/dev/null 2>&1; then
    fail "$package came from PyPI into $venv: its HDF5 is not dolfinx's. Remove it with '$venv/bin/pip uninstall $package'."
  fi
done
quietly $venv/bin/python -c "import dipy.reconst.dti, dolfinx, h5netcdf, h5py, highdicom, numba, pyvista, SimpleITK, torch, xarray" || fail "the new environment does not work; the whole story is in $log."

echo "$key" >"$(stamp_of "$extras")"
say "done in $SECONDS s"
