"""What every test runs under: one thread, caches of its own, and no silent skips in CI."""

import os

import pytest

OPTIONAL = "optional:"

# Before numpy, torch or numba is imported: conftest.py is read first.
for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")


def _refuse_skip(report, reason):
    """Turn a skip into a failure, unless its reason says that even CI may lack what it needs."""
    reason = str(reason).removeprefix("Skipped: ")
    if not os.environ.get("CI") or reason.startswith(OPTIONAL):
        return
    report.outcome = "failed"
    report.longrepr = (
        f"skipped in CI: {reason}\n"
        "CI has everything that tools/setup.sh installs, so nothing may be skipped there; what "
        f"a machine may well lack (a GPU, say) is skipped as pytest.skip('{OPTIONAL} no GPU')."
    )


def _reason(report):
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Look at every skip of a test."""
    report = (yield).get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        _refuse_skip(report, _reason(report))


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    """Look at every skip of a whole file."""
    report = (yield).get_result()
    if report.skipped:
        _refuse_skip(report, _reason(report))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep what the project caches away from the user's folder, fresh for every session.

    The compilers' caches (dolfinx, numba) are left where they are: their keys are the sources.
    """
    os.environ["TWIN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def patient(tmp_path_factory):
    """The small synthetic patient, as it is; a file may have one of its own by the same name."""
    from small_patient import write_small_patient

    import twin

    return twin.load(write_small_patient(tmp_path_factory.mktemp("small_patient")))
