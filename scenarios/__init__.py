"""Studies: what the clinic chooses by what nature chooses, run, compared and ranked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.lazy_names import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOME)
