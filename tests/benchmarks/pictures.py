"""Pictures and report of the finished study."""

from __future__ import annotations

from benchmarks.head import Setting, timed
from benchmarks.table import Row
from viz.pictures import write_pictures
from viz.report import write_report


def drawn(setting: Setting) -> list[Row]:
    """Seconds to draw everything; needs the part `study` before it."""
    head = setting.twin()
    folder, page = setting.work / "pictures", setting.work / "report.html"
    seconds, pictures = timed(lambda: write_pictures(setting.results, folder, patient=head))
    reporting, _ = timed(
        lambda: write_report(setting.results, page, patient=head, pictures=pictures)
    )
    return [
        Row("pictures", seconds, "s"),
        Row("  how many", len(pictures)),
        Row("report", reporting, "s"),
        Row("  its size", page.stat().st_size / 1e6, "MB"),
    ]
