"""Plan and forecast metrics: pure functions; those of the response are in `twin.response`."""

from scenarios.metrics.complication import (
    log_logistic_complication,
    lyman_complication,
    steepness_of_anchor,
)
from scenarios.metrics.control import (
    log_survival_of_course,
    population_control,
    tumour_control,
)
from scenarios.metrics.dose_volume import (
    dose_at_volume,
    dose_statistics,
    dose_to_hottest_volume,
    generalised_eud,
    mean_dose,
    paddick_index,
    volume_receiving,
)
from scenarios.metrics.effective_dose import (
    bed,
    bed_with_repopulation,
    dose_per_fraction_of_bed,
    dose_to_repopulation_a_day,
    eqd2,
)
from scenarios.metrics.forecast import (
    brier_score,
    concordance,
    coverage,
    crps_of_ensemble,
    crps_of_normal,
    kaplan_meier,
    log_volume_error,
    log_volume_likelihood,
)
from scenarios.metrics.overlap import dice, hausdorff, jaccard

__all__ = [
    "bed",
    "bed_with_repopulation",
    "brier_score",
    "concordance",
    "coverage",
    "crps_of_ensemble",
    "crps_of_normal",
    "dice",
    "dose_at_volume",
    "dose_per_fraction_of_bed",
    "dose_statistics",
    "dose_to_hottest_volume",
    "dose_to_repopulation_a_day",
    "eqd2",
    "generalised_eud",
    "hausdorff",
    "jaccard",
    "kaplan_meier",
    "log_logistic_complication",
    "log_survival_of_course",
    "log_volume_error",
    "log_volume_likelihood",
    "lyman_complication",
    "mean_dose",
    "paddick_index",
    "population_control",
    "steepness_of_anchor",
    "tumour_control",
    "volume_receiving",
]
