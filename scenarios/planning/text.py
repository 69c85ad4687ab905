"""The plan of a study as text that reads well in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scenarios.complications import BOTH_SOURCES, WITHOUT_PLAN, percent
from scenarios.organs import BRAIN_MINUS_TARGET
from scenarios.planning.schedule import DrugPlan, FractionPlan, Gap, date_text
from scenarios.redrawn import UNKNOWN_BEFORE
from scenarios.tumour_control import RULE as CONTROL_RULE
from scenarios.tumour_control import control_sentence
from twin.beams import CAVEAT as BEAMS_CAVEAT

if TYPE_CHECKING:
    from scenarios.planning.doses import OrganPlan, TargetPlan
    from scenarios.planning.plan import ArmPlan, OperationPlan, StudyPlan

__all__ = ["plan_text"]

WIDTH = 100
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MOST_GAPS = 6


def plan_text(plan: StudyPlan) -> str:
    """The whole plan, lines of at most 100 characters."""
    return "\n".join(_lines(plan)).rstrip() + "\n"


def _wrapped(text: str, indent: int, hanging: int = 2) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_on_hyphens=False,
    )


def _plain(value: float, decimals: int = 1) -> str:
    """A number with so many decimals at most."""
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _about(arms: Sequence[int]) -> str:
    """Which scenarios a sentence is about; nothing where it is about the study."""
    if not arms:
        return ""
    if len(arms) == 1:
        return f"Scenario {arms[0]}: "
    return f"Scenarios {', '.join(map(str, arms[:-1]))} and {arms[-1]}: "


def _lines(plan: StudyPlan) -> Iterator[str]:
    calendar = plan.calendar
    yield f"{plan.study}: what would be given; nothing has been run"
    yield ""
    filtration = "" if plan.gfr_ml_min is None else f"GFR {plan.gfr_ml_min:g} mL/min; "
    yield from _wrapped(
        f"Patient: {plan.patient}; body surface {plan.body_surface_m2:g} m2; {filtration}day 0 is "
        f"{calendar.text(0)}, the simulation ends on {calendar.text(plan.days)} "
        f"(day {plan.days:g}).",
        0,
    )
    if plan.markers:
        yield "Markers from the laboratory:"
        for sentence in plan.markers:
            yield from _wrapped(sentence, 2)
    if plan.past.sentences:
        yield "Given before day 0:"
        for sentence in plan.past.sentences:
            yield from _wrapped(sentence, 2)
    else:
        yield "Given before day 0: nothing."
    if plan.isotoxic is not None:
        yield from _wrapped(plan.isotoxic, 0)
    count = len(plan.warnings)
    yield f"{_counted(count, 'warning')}, at the end." if count else "No warnings."
    for arm in plan.arms:
        yield ""
        yield from _arm_lines(arm, plan)
    yield ""
    yield from _ending(plan)


def _ending(plan: StudyPlan) -> Iterator[str]:
    yield "Cases of what is not known about the tumour:"
    for name, text in plan.cases:
        yield from _wrapped(f"{name}: {text}", 2)
    yield from _wrapped(
        f"{_counted(plan.runs, 'run')}: {_counted(len(plan.arms), 'scenario')} by "
        f"{_counted(len(plan.cases), 'case')}, each again on two coarser meshes for the numerical "
        "error.",
        0,
    )
    yield ""
    if plan.warnings:
        yield f"{_counted(len(plan.warnings), 'warning')}:"
        for item in plan.warnings:
            yield from _wrapped(f"- {_about(item.arms)}{item.warning.sentence}", 2)
        yield ""
    yield "Remarks:"
    for remark in _remarks(plan):
        yield from _wrapped(f"- {remark}", 2)


def _remarks(plan: StudyPlan) -> Iterator[str]:
    organs = [organ for arm in plan.arms for organ in arm.organs]
    if organs:
        targets = [target for arm in plan.arms for target in arm.targets]
        if any(target.beams for target in targets):
            yield BEAMS_CAVEAT
        if not targets or any(target.dose is None and not target.beams for target in targets):
            others = "Other doses" if any(target.beams for target in targets) else "Doses"
            yield (
                f"{others} are of a geometric plan without beams: those of organs are lower bounds"
                + (", but where a planned dose is named." if any(t.dose for t in targets) else ".")
            )
        yield (
            "mean and D0.03cc are Gy as given by the scenario; EQD2 is Gy in fractions of 2 Gy "
            "with the organ's own alpha/beta"
            + (
                ", and holds the courses before day 0, without credit for the time between."
                if plan.past.fractions
                else "."
            )
            + (
                " brain_minus_target is the brain without the gross tumour of day 0."
                if any(organ.name == BRAIN_MINUS_TARGET for organ in organs)
                else ""
            )
        )
    if plan.hypoxia and any(arm.fractions for arm in plan.arms):
        yield plan.hypoxia
    if any(organ.recovered_mean_gy is not None for organ in organs):
        yield plan.recovery
    if plan.past.geometric:
        yield (
            "A course before day 0 without a planned dose is taken as the geometric one about its "
            "target as outlined on day 0."
        )
    if any(arm.control is not None and arm.control.known for arm in plan.arms):
        yield CONTROL_RULE
    if any(organ.complication.known for organ in organs):
        yield BOTH_SOURCES
    for reason in WITHOUT_PLAN:
        if any(organ.complication.reason == reason for organ in organs):
            yield reason
    if any(organ.stylised for organ in organs):
        yield "Organs with * are simple shapes, not this patient's outlines."
    if any(course.most_a_day > 1 for arm in plan.arms for course in arm.fractions):
        yield "BED and EQD2 of a prescription leave out incomplete repair between fractions."
    yield from plan.drug_remarks
    for drug in plan.unchecked:
        yield f"No limits of {drug} are on file; its doses were not checked."
    yield (
        "Public holidays are not known here. Doses of drugs are worked out from the body surface, "
        "not rounded to capsules."
        if any(arm.drugs for arm in plan.arms)
        else "Public holidays are not known here."
    )
    yield "Research use only; limits marked [unverified] were quoted without reading the source."


def _arm_lines(arm: ArmPlan, plan: StudyPlan) -> Iterator[str]:
    yield f"{arm.number}  {arm.name}"
    if arm.compared_with is not None:
        differences = "; ".join(arm.differs_in) or "nothing"
        yield from _wrapped(f"Compared with {arm.compared_with}, differs in: {differences}.", 3)
    fractions = {course.course: number for number, course in enumerate(arm.fractions)}
    operations = {operation.course: operation for operation in arm.operations}
    heat = {plan.course: plan for plan in arm.heat}
    for index, sentence in enumerate(arm.sentences):
        yield from _wrapped(sentence, 3)
        if index in operations:
            yield from _operation_lines(operations[index], arm)
        if index in heat:
            yield from _wrapped(heat[index].sentence(), 5)
        if index in fractions and arm.doses_as_in is None:
            number = fractions[index]
            yield from _course_lines(arm.fractions[number], arm.targets[number], plan)
    if arm.fractions and arm.doses_as_in is not None:
        yield f"     Radiotherapy's days, effect, targets and organ doses: as in {arm.doses_as_in}."
    if arm.isotoxic is not None:
        yield from _wrapped(arm.isotoxic, 5)
    for drug in arm.drugs:
        same = next((one.number for one in plan.arms[: arm.number - 1] if drug in one.drugs), None)
        if same is None:
            yield from _drug_lines(drug)
        else:
            yield f"     {drug.drug.capitalize()}'s cycles and doses in mg: as in {same}."
    if arm.replanned:
        yield from _wrapped(UNKNOWN_BEFORE, 5)
    if arm.organs and arm.doses_as_in is None:
        yield from _organ_lines(arm.organs)
    if arm.control is not None and arm.fractions:
        yield from _wrapped(control_sentence(arm.control), 5)
    if arm.first is not None and arm.last is not None and len(arm.sentences) > 1:
        days = (arm.last - arm.first).days + 1
        yield from _wrapped(
            f"First to last treatment: {date_text(arm.first)} to {date_text(arm.last)}, "
            f"{_counted(days, 'day')}.",
            3,
        )


def _operation_lines(operation: OperationPlan, arm: ArmPlan) -> Iterator[str]:
    text = f"Removed: {operation.volume_ml:.1f} ml by the outline of day 0"
    later = [(course.first - operation.date).days for course in arm.fractions]
    waits = [days for days in later if days >= 0]
    if waits:
        text += f"; radiotherapy starts {_counted(min(waits), 'day')} later"
    yield from _wrapped(text + ".", 5)


def _course_lines(course: FractionPlan, target: TargetPlan, plan: StudyPlan) -> Iterator[str]:
    parts = [
        f"Days: {_counted(course.fractions, 'fraction')} on "
        f"{_counted(len(course.dates), 'day')}, {_weekdays(course.weekdays)}"
    ]
    if len(course.doses_gy) > 1:
        parts.append(f"of {' or '.join(_plain(dose, 3) for dose in course.doses_gy)} Gy")
    if course.most_a_day > 1:
        parts.append(f"up to {course.most_a_day} a day")
    if course.weekends_skipped:
        parts.append(f"{_counted(course.weekends_skipped, 'weekend')} skipped")
    if course.weekend_fractions:
        parts.append(f"{course.weekend_fractions} on a Saturday or Sunday")
    parts.append(_gaps(course.gaps))
    yield from _wrapped(
        ", ".join(parts) + f"; overall time {_counted(course.overall_days, 'day')}.", 5
    )
    text = (
        f"Effect on the tumour (α/β {plan.alpha_beta_gy:g} Gy): BED "
        f"{_plain(course.bed_gy)} Gy, EQD2 {_plain(course.eqd2_gy)} Gy"
    )
    if target.boost is not None:
        text += (
            f"; boost, {_plain(target.boost.dose_per_fraction_gy, 3)} Gy a fraction: BED "
            f"{_plain(target.boost.bed_gy)} Gy, EQD2 {_plain(target.boost.eqd2_gy)} Gy"
        )
    elapsed = course.end_day - course.begin_day
    if plan.regrown_bed is not None and (lost := plan.regrown_bed(elapsed)) > 0.0:
        share = 1.0 - lost / course.bed_gy
        text += (
            f"; less what grows back from the kick-off on, {_plain(lost)} Gy: BED "
            f"{_plain(course.bed_gy - lost)} Gy, EQD2 {_plain(course.eqd2_gy * share)} Gy"
        )
    yield from _wrapped(text + ".", 5)
    if target.guided is not None:
        guided = target.guided
        yield from _wrapped(
            f"CTV by density: {target.ctv_ml:.1f} ml, as much as "
            f"{target.target.upper()} + {target.ctv_margin_mm:g} mm, where the density predicted "
            f"for day {guided.day:g} is above {guided.level:.2g} of capacity; "
            f"{100 * guided.cells_outside:.2g} % of the predicted cells lie outside it, "
            f"{100 * guided.cells_outside_margin:.2g} % outside the margin's.",
            5,
        )
    level = target.coverage_level * target.prescription_gy
    text = f"Targets: {'GTV' if target.target == 'gtv' else target.target} {target.gtv_ml:.1f} ml"
    if target.ctv_ml is not None and target.ptv_ml is not None:
        text += f", CTV {target.ctv_ml:.1f} ml, PTV {target.ptv_ml:.1f} ml"
    text += (
        f", of which {100 * target.coverage:.1f} % get {_plain(level, 2)} Gy "
        f"({100 * target.coverage_level:g} %) or more"
    )
    if target.boost is not None:
        boost = target.boost
        text += (
            f"; boost volume {boost.volume_ml:.1f} ml, of which {100 * boost.coverage:.1f} % get "
            f"{_plain(target.coverage_level * boost.total_gy, 2)} Gy or more"
        )
    yield from _wrapped(text + ".", 5)


def _weekdays(days: Sequence[int]) -> str:
    if len(days) == 7:
        return "every day of the week"
    names = [_DAY_NAMES[day] for day in days]
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{names[0]} to {names[-1]}"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _gaps(gaps: Sequence[Gap]) -> str:
    if not gaps:
        return "no other gaps"
    shown = [
        date_text(gap.first)
        if gap.first == gap.last
        else f"{date_text(gap.first)} to {date_text(gap.last)}"
        for gap in gaps[:_MOST_GAPS]
    ]
    more = f" and {len(gaps) - _MOST_GAPS} more times" if len(gaps) > _MOST_GAPS else ""
    return f"none on {', '.join(shown)}{more}"


def _drug_lines(plan: DrugPlan) -> Iterator[str]:
    width = max(20, *(len(block.label) for block in plan.blocks))
    head = f"{plan.drug} for {plan.body_surface_m2:g} m2"
    width = max(width, len(head))
    yield f"     {head:<{width}}  {'from':<15}  {'to':<15} {'doses':>5} {'mg/m2':>6} {'mg':>7}" + (
        f" {'mg in all':>10}"
    )
    for block in plan.blocks:
        count = len(block.dates)
        yield (
            f"     {block.label:<{width}}  {date_text(block.dates[0]):<15}  "
            f"{date_text(block.dates[-1]):<15} {count:>5} {_plain(block.mg_m2):>6} "
            f"{_plain(plan.mg(block)):>7} {_plain(plan.mg(block) * count):>10}"
        )
    yield (
        f"     {'all':<{width}}  {'':<15}  {_plain(plan.total_mg_m2) + ' mg/m2':<15} "
        f"{plan.doses:>5} {'':>6} {'':>7} {_plain(plan.total_mg):>10}"
    )


def _organ_lines(organs: Sequence[OrganPlan]) -> Iterator[str]:
    names = [organ.name + ("*" if organ.stylised else "") for organ in organs]
    width = max(len("organs at risk [Gy]"), *map(len, names))
    yield (
        f"     {'organs at risk [Gy]':<{width}}  {'mean':>6} {'D0.03cc':>8}   {'EQD2 mean':>9} "
        f"{'D0.03cc':>8}   {'α/β':>4}   limits (EQD2)"
    )
    for organ, name in zip(organs, names, strict=True):
        line = (
            f"     {name:<{width}}  {organ.mean_gy:>6.1f} {organ.d003cc_gy:>8.1f}   "
            f"{organ.eqd2_mean_gy:>9.1f} {organ.eqd2_d003cc_gy:>8.1f}   "
            f"{_plain(organ.alpha_beta_gy):>4}   "
        )
        limits = textwrap.wrap(_limits(organ), max(24, WIDTH - len(line))) or [""]
        yield (line + limits[0]).rstrip()
        yield from (" " * len(line) + rest for rest in limits[1:])
    yield from _recovery_lines(organs)
    yield from _complication_lines(organs)


def _recovery_lines(organs: Sequence[OrganPlan]) -> Iterator[str]:
    """EQD2 with recovery between courses, of the organs to which it is credited."""
    changed = [
        f"{organ.name} mean {organ.recovered_mean_gy:.1f}, D0.03cc {organ.recovered_d003cc_gy:.1f}"
        for organ in organs
        if organ.recovered_mean_gy is not None
        and organ.recovered_d003cc_gy is not None
        and (organ.recovered_mean_gy, organ.recovered_d003cc_gy)
        != (organ.eqd2_mean_gy, organ.eqd2_d003cc_gy)
    ]
    if changed:
        text = f"EQD2 with recovery of earlier courses [Gy]: {'; '.join(changed)}."
        yield from _wrapped(text, 5, 4)


def _complication_lines(organs: Sequence[OrganPlan]) -> Iterator[str]:
    """Each organ's NTCP and what is stated beside it; nothing of a geometric dose."""
    found = [(organ.name, organ.complication) for organ in organs]
    if all(one.reason in WITHOUT_PLAN for _, one in found):
        return
    yield "     complication probability (NTCP) by a fit; beside it what another source states"
    for name, one in found:
        if one.known and one.fit is not None:
            yield from _wrapped(f"{name}: {percent(one.probability)} {one.fit.sentence}.", 5, 4)
        elif one.reason not in WITHOUT_PLAN:
            yield from _wrapped(f"{name}: {one.reason}", 5, 4)


def _limits(organ: OrganPlan) -> str:
    """The limits of an organ: "D0.03cc 54, 60"; with the value where no column has it."""
    by_measure: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    for reading in organ.readings:
        crossed = " (crossed)" if reading.value_gy > reading.limit.value else ""
        by_measure.setdefault(reading.limit.measure, []).append(
            f"{_plain(reading.limit.value)}{crossed}"
        )
        column = reading.limit.measure in ("mean", "D0.03cc") and not reading.limit.together
        together = " of both" if reading.limit.together and reading.name != organ.name else ""
        shown[reading.limit.measure] = (
            "" if column else f"{together} is {reading.value_gy:.1f}, limit"
        )
    return "; ".join(
        f"{measure}{shown[measure]} {', '.join(values)}" for measure, values in by_measure.items()
    )
