"""Studies: what the clinic chooses by what nature chooses, run, compared and ranked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.changes import apply_changes
    from scenarios.comparison import Comparison, compare
    from scenarios.run import run_study
    from scenarios.study import Case, Scenario, Study
    from scenarios.study_file import read_study

# Names are fetched when they are first used, so that `import scenarios` takes no time.
_HOME = {
    "Case": "study",
    "Comparison": "comparison",
    "Scenario": "study",
    "Study": "study",
    "apply_changes": "changes",
    "compare": "comparison",
    "read_study": "study_file",
    "run_study": "run",
}

__all__ = [
    "Case",
    "Comparison",
    "Scenario",
    "Study",
    "apply_changes",
    "compare",
    "read_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'scenarios' has no attribute {name!r}")
    value = getattr(import_module(f"scenarios.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
