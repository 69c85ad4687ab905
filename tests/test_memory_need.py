"""The memory a run needs against what there is: this machine's own, and made-up ones."""

import os
import resource

import pytest

from solvers.memory_need import available_memory, check_memory, memory_of_run
from twin.errors import InvalidInput

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


def machine(root, *, free_mib=1000, own_mib=100, groups=""):
    """A /proc and /sys by hand, with so much left and held by this process."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal: 9999999 kB\nMemFree: 1 kB\nMemAvailable: {free_mib * 1024} kB\n"
    )
    own = own_mib * MIB // PAGE
    (root / "proc/self/statm").write_text(f"{own * 2} {own} 5 1 0 1 0\n")
    (root / "proc/self/cgroup").write_text(groups)
    return root


def group(folder, *, version, limit, used, cached=0):
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{names[2]} {cached}\n")


def test_a_machine_without_groups_has_what_is_left_and_what_we_hold(tmp_path):
    assert available_memory(root=machine(tmp_path)) == 1100 * MIB


def test_the_tightest_group_of_version_2_counts_and_its_files_are_free(tmp_path):
    root = machine(tmp_path, groups="0::/user/job\n")
    top = root / "sys/fs/cgroup"
    group(top, version=2, limit="max", used=5)
    group(top / "user", version=2, limit=800 * MIB, used=600 * MIB, cached=100 * MIB)
    group(top / "user/job", version=2, limit=900 * MIB, used=200 * MIB)
    assert available_memory(root=root) == (300 + 100) * MIB


def test_a_container_that_sees_its_own_group_at_the_top(tmp_path):
    root = machine(tmp_path, groups="0::/../../elsewhere\n")
    group(root / "sys/fs/cgroup", version=2, limit=500 * MIB, used=200 * MIB)
    assert available_memory(root=root) == (300 + 100) * MIB


def test_groups_of_version_1(tmp_path):
    root = machine(tmp_path, groups="7:cpu,cpuacct:/a\n5:memory:/a\n")
    top = root / "sys/fs/cgroup/memory"
    group(top, version=1, limit=2**63 - PAGE, used=10 * MIB)  # how version 1 writes no limit
    group(top / "a", version=1, limit=300 * MIB, used=100 * MIB, cached=50 * MIB)
    assert available_memory(root=root) == (250 + 100) * MIB


def test_a_group_over_its_limit_leaves_what_we_hold(tmp_path):
    root = machine(tmp_path, groups="0::/\n")
    group(root / "sys/fs/cgroup", version=2, limit=100 * MIB, used=200 * MIB)
    assert available_memory(root=root) == 100 * MIB


def test_a_limit_on_the_address_space_counts(tmp_path, monkeypatch):
    root = machine(tmp_path)  # holds 200 MiB of address space
    monkeypatch.setattr(resource, "getrlimit", lambda which: (500 * MIB, 500 * MIB))
    assert available_memory(root=root) == (300 + 100) * MIB


def test_without_proc_the_machine_s_pages_count(tmp_path):
    pages = os.sysconf("SC_PHYS_PAGES")
    assert 0 < available_memory(root=tmp_path) <= pages * PAGE


def test_this_machine_has_at_most_its_memory():
    assert 100 * MIB < available_memory() <= 2 * os.sysconf("SC_PHYS_PAGES") * PAGE


def test_too_much_is_refused_with_both_figures_and_a_remedy(tmp_path):
    root = machine(tmp_path, free_mib=2048, own_mib=0)
    check_memory(2048 * MIB, "The run", root=root)
    with pytest.raises(InvalidInput) as caught:
        check_memory(2048 * MIB + 1, "The run with 400 fields", root=root)
    said = str(caught.value)
    assert "The run with 400 fields needs about 2.1 GB" in said
    assert "2.1 GB are available; keep fewer fields, take a coarser mesh" in said
    with pytest.raises(InvalidInput):
        check_memory(float("nan"), "The run", root=root)


def test_fields_checkpoints_and_species_count_by_their_size():
    """float32 for each value kept, float64 for each of the state."""
    plain = memory_of_run(1000, 5000, 0)
    assert memory_of_run(1000, 5000, 70) - plain == 70 * 1000 * 4
    assert memory_of_run(1000, 5000, 70, fields=5) - plain == 5 * 70 * 1000 * 4
    assert memory_of_run(1000, 5000, 0, checkpoints=11) - plain == 11 * 3 * 1000 * 8
    six = memory_of_run(1000, 5000, 0, species=6, checkpoints=11)
    assert six > memory_of_run(1000, 5000, 0, species=3, checkpoints=11) + 11 * 3 * 1000 * 8
    assert memory_of_run(1000, 5000, 0, meshes=2) > plain


@pytest.mark.parametrize(
    ("nodes", "cells", "voxels", "field_times", "meshes", "measured_mib"),
    [
        (4_730, 25_802, 24_389, 0, 1, 338),
        (27_308, 158_154, 24_389, 0, 1, 438),
        (112_095, 649_366, 4_327_705, 0, 1, 905),
        (112_095, 649_366, 4_327_705, 400, 1, 1041),
        (112_095, 649_366, 4_327_705, 0, 2, 989),
    ],
)
def test_the_estimate_is_what_was_measured(nodes, cells, voxels, field_times, meshes, measured_mib):
    """Largest resident set of a process that loads and runs, read off the system."""
    estimate = memory_of_run(nodes, cells, field_times, meshes=meshes, voxels=voxels)
    assert estimate / MIB == pytest.approx(measured_mib, rel=0.1)
