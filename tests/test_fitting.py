"""Survival and growth curves fitted to measurements: closed forms, other code, real counts."""

import json
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from real_data import real_data
from scipy.integrate import solve_ivp
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import binom, chi2, f, multivariate_normal, norm, poisson

from solvers.fitting import (
    ColonyCurve,
    fit_growth,
    fit_survival,
    read_colonies,
    survival_band,
    tumour_volumes,
    typical_curve,
)
from solvers.fitting.growth_laws import final_volume, log_growth, time_to_multiple
from solvers.fitting.growth_likelihood import GrowthLikelihood
from twin.errors import NotConverged
from twin.parameters import ParameterSet
from viz.cli import main

DOSES = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 6.0])


def covers(hits, runs, stated=0.95):
    """Whether so many hits agree with the stated rate: two-sided, one in a thousand is refused."""
    low, high = binom.ppf([5e-4, 1.0 - 5e-4], runs, stated)
    return low <= hits <= high


# ------------------------------------------------------------------ survival


def dishes(alpha, beta, *, experiments=3, seeded=2000, efficiency=0.2, draw=None):
    """A curve of `experiments`; expected counts, whole, or drawn ones."""
    dose = np.tile(DOSES, experiments)
    kill = alpha * dose + beta * dose**2
    which = np.repeat(np.arange(experiments), len(DOSES))
    cells = np.round(seeded * np.exp(0.8 * kill))
    mean = cells * efficiency * (1.0 + 0.3 * which) * np.exp(-kill)
    counts = np.round(mean) if draw is None else draw(mean)
    return ColonyCurve("line", dose, cells, counts, [f"e{one}" for one in which])


def glm(curve):
    """Coefficients and their covariance by iterated weighted least squares with all intercepts."""
    names = sorted(set(curve.experiment))
    design = np.column_stack(
        [[float(one == name) for one in curve.experiment] for name in names]
        + [-curve.dose, -(curve.dose**2)]
    )
    offset = np.log(curve.cells)
    eta = np.log(curve.colonies + 0.5)
    for _ in range(60):
        mu = np.exp(eta)
        work = eta - offset + (curve.colonies - mu) / mu
        root = np.sqrt(mu)
        beta = np.linalg.lstsq(design * root[:, None], work * root, rcond=None)[0]
        eta = design @ beta + offset
    mu = np.exp(eta)
    pearson = np.sum((curve.colonies - mu) ** 2 / mu)
    return beta[-2:], np.linalg.inv(design.T @ (mu[:, None] * design))[-2:, -2:], pearson, mu


def least_deviance(curve, fixed):
    """Least deviance with `fixed(theta) -> (alpha, beta)` of one free number, by brute force."""

    def deviance(free):
        alpha, beta = fixed(free)
        surviving = curve.cells * np.exp(-alpha * curve.dose - beta * curve.dose**2)
        total = 0.0
        for name in set(curve.experiment):
            own = np.array([one == name for one in curve.experiment])
            mu = surviving[own] * curve.colonies[own].sum() / surviving[own].sum()
            total += 2.0 * np.sum(
                poisson.logpmf(curve.colonies[own], np.maximum(curve.colonies[own], 1e-9))
                - poisson.logpmf(curve.colonies[own], mu)
            )
        return total

    found = minimize_scalar(deviance, bounds=(0.0, 0.6), method="bounded", options={"xatol": 1e-9})
    return found.fun


def test_two_doses_are_solved_exactly():
    """Survival of 1/2 at 2 Gy and 1/10 at 4 Gy: 2a + 4b = ln 2 and 4a + 16b = ln 10."""
    curve = ColonyCurve("A", [0, 2, 4], [200, 200, 200], [200, 100, 20], ["1"] * 3)
    found = fit_survival(curve)
    beta = (math.log(10) - 2 * math.log(2)) / 8
    alpha = (4 * math.log(2) - math.log(10)) / 4
    assert found.alpha.value == pytest.approx(alpha, abs=1e-8)
    assert found.beta.value == pytest.approx(beta, abs=1e-8)
    assert found.alpha_beta.value == pytest.approx(alpha / beta, rel=1e-7)
    assert found.surviving_fraction_2gy.value == pytest.approx(0.5, abs=1e-8)
    assert found.degrees_of_freedom == 0
    assert math.isnan(found.dispersion)
    assert found.bend is None
    assert "as many parameters as dishes" in found.notes[0]


def test_one_plating_efficiency_an_experiment():
    """Efficiencies that differ by four do not reach alpha and beta."""
    cells = np.array([1000, 2000, 8000] * 2)
    survival = np.array([1.0, 0.5, 0.1] * 2)
    efficiency = np.repeat([0.1, 0.4], 3)
    curve = ColonyCurve(
        "A", [0, 2, 4] * 2, cells, cells * survival * efficiency, ["a"] * 3 + ["b"] * 3
    )
    found = fit_survival(curve)
    assert found.beta.value == pytest.approx((math.log(10) - 2 * math.log(2)) / 8, abs=1e-8)
    assert [one[1] for one in found.plating_efficiency.values()] == pytest.approx([0.1, 0.4])
    assert found.deviance == pytest.approx(0.0, abs=1e-8)


def test_values_and_standard_errors_are_those_of_a_generalised_linear_model():
    rng = np.random.default_rng(7)
    curve = dishes(0.3, 0.03, draw=rng.poisson)
    theta, covariance, pearson, mu = glm(curve)
    found = fit_survival(curve)
    assert (found.alpha.value, found.beta.value) == pytest.approx(tuple(theta), abs=1e-7)
    assert found.pearson == pytest.approx(pearson, rel=1e-7)
    left = len(curve.dose) - 5
    assert found.degrees_of_freedom == left
    assert found.dispersion == pytest.approx(pearson / left, rel=1e-7)
    assert found.fit_probability == pytest.approx(chi2.sf(pearson, left), rel=1e-6)
    scale = max(1.0, pearson / left)
    assert found.standard_errors == pytest.approx(
        tuple(np.sqrt(scale * np.diag(covariance))), rel=1e-6
    )
    if found.bend is not None:  # the difference of AIC, from the likelihoods themselves
        bend = found.bend
        curved = np.minimum(curve.dose, bend.transition_dose)
        kill = bend.alpha * curve.dose + bend.beta * (
            curved**2 + 2 * curved * (curve.dose - curved)
        )
        surviving = curve.cells * np.exp(-kill)
        bent = np.zeros_like(mu)
        for name in set(curve.experiment):
            own = np.array([one == name for one in curve.experiment])
            bent[own] = surviving[own] * curve.colonies[own].sum() / surviving[own].sum()
        logs = [poisson.logpmf(curve.colonies, one).sum() for one in (bent, mu)]
        assert bend.aic_difference == pytest.approx(2.0 - 2.0 * (logs[0] - logs[1]), abs=1e-6)


@pytest.mark.parametrize("errors", ["poisson", "quasi-poisson"])
def test_ends_of_intervals_lie_where_the_deviance_has_risen(errors):
    """By brute force over the other coefficient, at every end of every interval."""
    rng = np.random.default_rng(11)
    curve = dishes(0.25, 0.04, draw=lambda mean: rng.poisson(rng.gamma(200, mean / 200)))
    found = fit_survival(curve, errors=errors)
    alpha, beta = found.alpha.value, found.beta.value
    best = least_deviance(curve, lambda _: (alpha, beta))
    left = found.degrees_of_freedom
    rise = chi2.ppf(0.95, 1) if errors == "poisson" else found.scale * f.ppf(0.95, 1, left)
    assert (found.scale > 1.0) == (errors == "quasi-poisson")
    ways = {
        "alpha": lambda end: lambda free: (end, free / 4),
        "beta": lambda end: lambda free: (free, end),
        "alpha_beta": lambda end: lambda free: (free * end / 4, free / 4),
        "surviving_fraction_2gy": lambda end: (
            lambda free: (-math.log(end) * free / 1.2, -math.log(end) * (0.6 - free) / 2.4)
        ),
    }
    for name, way in ways.items():
        estimate = getattr(found, name)
        for end in (estimate.low, estimate.high):
            assert 0.0 < end < math.inf
            assert least_deviance(curve, way(end)) - best == pytest.approx(rise, rel=1e-4), name


def test_ratio_without_an_upper_or_a_lower_end():
    straight = fit_survival(dishes(0.7, 0.0))
    assert straight.alpha_beta.high == math.inf
    assert straight.alpha_beta.low > 5.0
    assert straight.beta.low == 0.0
    assert straight.alpha_beta.one_sided
    curved = fit_survival(dishes(0.0, 0.12))
    assert curved.alpha_beta.low == 0.0
    assert curved.alpha_beta.high < 3.0
    assert "at most" in curved.alpha_beta.text()


def test_counts_that_bend_the_wrong_way_stop_at_zero():
    """Survival that flattens with dose would need a negative beta."""
    cells = np.full(4, 10_000)
    curve = ColonyCurve("A", [0, 2, 4, 6], cells, [5000, 1000, 500, 400], ["1"] * 4)
    found = fit_survival(curve)
    assert found.beta.value == 0.0
    assert any("beta is at its bound" in note for note in found.notes)
    assert found.alpha_beta.value == math.inf
    assert found.alpha_beta.as_dict()["value"] is None


def test_a_curve_that_is_straight_at_high_dose_is_found():
    """Counts of the linear-quadratic-linear form, transition at 5 Gy, against Astrahan's form."""
    dose = np.tile(np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 12.0]), 2)
    curved = np.minimum(dose, 5.0)
    kill = 0.1 * dose + 0.06 * curved**2 + 2 * 0.06 * curved * (dose - curved)
    cells = np.round(20_000 * np.exp(kill))
    curve = ColonyCurve("A", dose, cells, np.round(4000.0 * np.ones(20)), ["1"] * 10 + ["2"] * 10)
    bend = fit_survival(curve).bend
    assert bend.transition_dose == pytest.approx(5.0, abs=0.02)
    assert (bend.alpha, bend.beta) == pytest.approx((0.1, 0.06), abs=1e-3)
    assert bend.aic_difference < -100.0
    assert "linear above 5.0 Gy fits better" in bend.sentence
    not_bent = fit_survival(dishes(0.2, 0.05, draw=np.random.default_rng(5).poisson)).bend
    assert not_bent.qaicc_difference > -2.0


def test_band_is_the_interval_at_each_dose():
    curve = dishes(0.3, 0.03, draw=np.random.default_rng(3).poisson)
    fitted, low, high = survival_band(curve, [0.0, 2.0, 5.0])
    found = fit_survival(curve)
    two = found.surviving_fraction_2gy
    assert (fitted[0], low[0], high[0]) == (1.0, 1.0, 1.0)
    assert (fitted[1], low[1], high[1]) == pytest.approx((two.value, two.low, two.high), rel=1e-9)
    assert (low < high)[1:].all()


@pytest.mark.parametrize(
    ("line", "alpha", "beta", "rows", "experiments"),
    [("cal33", 0.26832, 0.048924, 24, 4), ("okf6TERT1", 0.51938, 0.021026, 48, 8)],
)
def test_real_counts_give_the_coefficients_of_an_independent_fit(
    line, alpha, beta, rows, experiments
):
    """Two cell lines of Braselmann 2015 against a Poisson model fitted elsewhere."""
    file = real_data("radiobiology", "CFAssay", "expl1_cellsurvcurves.txt")
    curve = read_colonies(file).curves[line]
    assert (len(curve.dose), len(curve.experiments)) == (rows, experiments)
    found = fit_survival(curve)
    assert found.alpha.value == pytest.approx(alpha, abs=6e-6)
    assert found.beta.value == pytest.approx(beta, abs=6e-7)
    theta, covariance, pearson, _ = glm(curve)
    assert found.scale == pytest.approx(pearson / found.degrees_of_freedom, rel=1e-6)
    assert found.standard_errors == pytest.approx(
        tuple(np.sqrt(found.scale * np.diag(covariance))), rel=1e-5
    )
    assert found.alpha_beta.low < theta[0] / theta[1] < found.alpha_beta.high < math.inf


@pytest.mark.slow
@pytest.mark.parametrize("dispersion", [1.0, 4.0])
def test_survival_intervals_cover(dispersion):
    """200 tables of Poisson counts, and of counts of four times their variance."""
    runs, hits = 200, dict.fromkeys(("alpha", "beta", "alpha_beta", "surviving_fraction_2gy"), 0)
    truth = {"alpha": 0.3, "beta": 0.03, "alpha_beta": 10.0}
    truth["surviving_fraction_2gy"] = math.exp(-0.72)
    for run in range(runs):
        rng = np.random.default_rng(run)

        def draw(mean, rng=rng):
            if dispersion == 1.0:
                return rng.poisson(mean)
            return rng.negative_binomial(mean / (dispersion - 1.0), 1.0 / dispersion)

        found = fit_survival(dishes(0.3, 0.03, draw=draw))
        for name, value in truth.items():
            estimate = getattr(found, name)
            hits[name] += estimate.low <= value <= estimate.high
    assert all(covers(count, runs) for count in hits.values()), hits


# -------------------------------------------------------------------- growth


@pytest.mark.parametrize("law", ["exponential", "gompertz", "logistic"])
@pytest.mark.parametrize("slowing", [0.0, 1e-7, 0.03])
@pytest.mark.parametrize("net", [-0.03, 0.0, 0.1])
def test_laws_solve_their_differential_equations(law, slowing, net):
    slopes = {
        "exponential": lambda _, y: [net + 0.0 * y[0]],
        "gompertz": lambda _, y: [net - slowing * y[0]],
        "logistic": lambda _, y: [net + slowing * (1.0 - math.exp(y[0]))],
    }
    days = np.array([0.0, 3.0, 20.0, 40.0])
    truth = solve_ivp(slopes[law], (0, 40), [0.3], t_eval=days, rtol=1e-10, atol=1e-12).y[0]
    y = log_growth(law, days, np.array(0.3), np.array(net), slowing)
    assert y == pytest.approx(truth, abs=1e-7)


@pytest.mark.parametrize("law", ["exponential", "gompertz", "logistic"])
def test_time_to_a_multiple_is_when_the_curve_gets_there(law):
    slowing = 0.0 if law == "exponential" else 0.02
    days = time_to_multiple(law, 4.0, np.array([0.12, -0.05]), np.array(slowing))
    there = log_growth(law, days[:1], np.array(0.0), np.array(0.12), slowing)
    assert there == pytest.approx([math.log(4.0)])
    assert days[1] == math.inf
    if law != "exponential":
        end = final_volume(law, 100.0, 0.12, slowing)
        late = log_growth(law, np.array(2000.0), np.array(0.0), np.array(0.12), slowing)
        assert 100.0 * math.exp(late) == pytest.approx(end)


def experiment(seed=0, animals=6, law="exponential", limit=None):
    """A likelihood on random volumes of two groups, and parameters near those that made them."""
    rng = np.random.default_rng(seed)
    days = np.arange(0.0, 19.0, 3.0) / 18.0
    animal = np.repeat(np.arange(2 * animals), len(days))
    time = np.tile(days, 2 * animals)
    group = np.repeat([0, 1], animals)
    net = 2.0 - 1.8 * group + 0.3 * rng.normal(size=2 * animals)
    log_volume = (
        5.0 + 0.2 * rng.normal(size=2 * animals)[animal] + net[animal] * time
        + 0.15 * rng.normal(size=len(time))
    )  # fmt: skip
    censored = np.zeros(len(time), bool)
    if limit is not None:
        censored = log_volume <= limit
        log_volume = np.where(censored, limit, log_volume)
    made = GrowthLikelihood(law, time, log_volume, censored, animal, group, 2)
    slow = [] if law == "exponential" else [0.3]
    return made, np.array([5.0, 1.9, 1.6, *slow, math.log(0.2), math.log(0.3), math.log(0.15)])


def test_marginal_likelihood_of_straight_lines_is_a_normal_density():
    made, values = experiment()
    total = 0.0
    for animal, group in enumerate(made.group):
        own = made.animal == animal
        t = made.time[own]
        spread = 0.2**2 + 0.3**2 * np.outer(t, t) + 0.15**2 * np.eye(len(t))
        total += multivariate_normal.logpdf(
            made.log_volume[own], 5.0 + (1.9 - 1.6 * group) * t, spread
        )
    assert made.value_and_slope(values)[0] == pytest.approx(total, abs=1e-9)


def test_marginal_likelihood_of_censored_volumes_is_the_integral():
    """Against the plain sum over a fine grid of both effects."""
    made, values = experiment(animals=2, limit=5.1)
    assert made.censored.sum() > 3
    grid = np.linspace(-6.0, 6.0, 601)
    first, rate = np.meshgrid(grid, grid, indexing="ij")
    weight = norm.logpdf(first) + norm.logpdf(rate) + 2.0 * math.log(grid[1] - grid[0])
    total = 0.0
    for animal, group in enumerate(made.group):
        logs = weight.copy()
        for row in np.flatnonzero(made.animal == animal):
            mean = 5.0 + 0.2 * first + (1.9 - 1.6 * group + 0.3 * rate) * made.time[row]
            z = (made.log_volume[row] - mean) / 0.15
            logs += norm.logcdf(z) if made.censored[row] else norm.logpdf(z) - math.log(0.15)
        total += math.log(np.exp(logs).sum())
    assert made.value_and_slope(values)[0] == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("law", ["exponential", "gompertz", "logistic"])
@pytest.mark.parametrize("limit", [None, 5.0])
def test_slope_of_the_likelihood_is_that_of_differences(law, limit):
    made, values = experiment(law=law, limit=limit)
    slope = made.value_and_slope(values)[1]
    for place, one in enumerate(np.eye(made.size)):
        ahead, behind = (made.value_and_slope(values + h * one)[0] for h in (1e-5, -1e-5))
        assert slope[place] == pytest.approx((ahead - behind) / 2e-5, abs=2e-4)


def xenografts(
    seed, *, kills=(0.0, 0.05, 0.11), animals=8, slowing=0.0, noise=0.15, floor=0.0,
    spread=(0.25, 0.015), leave_at=1500.0,
):  # fmt: skip
    """Columns of a table: 120 mm3 at first, growing by 0.12 a day, animals leaving when large."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, kill in enumerate(kills):
        for animal in range(animals):
            start = spread[0] * rng.normal()
            net = 0.12 - kill + spread[1] * rng.normal()
            for day in np.arange(0.0, 29.0, 3.0):
                y = log_growth("gompertz", np.array(day), np.array(start), np.array(net), slowing)
                volume = 120.0 * math.exp(float(y) + noise * rng.normal())
                rows.append((f"m{animal}", f"g{number}", day, max(volume, floor)))
                if volume > leave_at:
                    break
    return [list(column) for column in zip(*rows, strict=True)]


def test_volumes_almost_without_error_give_back_their_rates():
    data = tumour_volumes(
        *xenografts(1, animals=5, slowing=0.03, noise=1e-3, spread=(0.2, 1e-3), leave_at=1e9),
        control="g0",
    )
    found = fit_growth(data)
    assert found.best.law == "gompertz"
    assert found.best.growth_rate.value == pytest.approx(0.12, abs=1e-3)
    assert found.best.slowing.value == pytest.approx(0.03, rel=0.02)
    assert found.best.kill_rate["g1"].value == pytest.approx(0.05, abs=2e-3)
    assert found.best.kill_rate["g2"].value == pytest.approx(0.11, abs=2e-3)
    assert "Gompertz growth fits best, by" in found.sentence
    days = time_to_multiple("gompertz", 4.0, np.array([0.12, 0.07]), np.array(0.03))
    assert found.best.control_time.value == pytest.approx(days[0], rel=0.03)
    assert found.best.growth_delay["g1"].value == pytest.approx(days[1] - days[0], rel=0.1)
    typical, low, high = typical_curve(data, found.best, "g1", [0.0, 10.0])
    truth = 120.0 * math.exp(0.07 * (1.0 - math.exp(-0.3)) / 0.03)
    assert typical[1] == pytest.approx(truth, rel=0.15)
    assert low[1] < typical[1] < high[1]


def test_exponential_growth_agrees_with_maximum_likelihood_by_other_means():
    """The same model written as normal densities, climbed without gradients."""
    data = tumour_volumes(*xenografts(4, animals=5), control="g0")
    found = fit_growth(data, laws=["exponential"]).best
    logs = np.log(data.volume)

    def down(p):
        total = 0.0
        for animal, group in enumerate(data.group):
            own = data.animal == animal
            t = data.time[own] / 10.0
            mean = p[0] + (p[1] - (0.0, p[2], p[3])[group]) * t
            s0, s1, s = np.exp(2.0 * p[4:])
            spread = s0 + s1 * np.outer(t, t) + s * np.eye(len(t))
            total -= multivariate_normal.logpdf(logs[own], mean, spread)
        return total

    start = np.array([math.log(130.0), 1.1, 0.4, 1.0, -1.5, -2.0, -1.8])
    best = minimize(down, start, method="BFGS", options={"gtol": 1e-4})
    assert found.log_likelihood == pytest.approx(-best.fun, abs=1e-5)
    assert found.growth_rate.value == pytest.approx(best.x[1] / 10.0, abs=1e-5)
    assert found.kill_rate["g2"].value == pytest.approx(best.x[3] / 10.0, abs=1e-5)
    assert found.aic == pytest.approx(2 * 7 + 2 * best.fun, abs=1e-4)


def test_a_censored_limit_does_not_bias_the_kill_rate():
    """Eight animals shrink below 40 mm3: as measured values the limit hides half of the kill."""
    columns = xenografts(9, kills=(0.0, 0.25), floor=40.0)
    kept = fit_growth(
        tumour_volumes(*columns, control="g0", floor_mm3=40.0), laws=["exponential"]
    ).best.kill_rate["g1"]
    naive = fit_growth(tumour_volumes(*columns, control="g0"), laws=["exponential"]).best.kill_rate[
        "g1"
    ]
    assert kept.low < 0.25 < kept.high
    assert naive.high < 0.25


def test_what_is_left_out_is_said():
    animal, group, day, volume = xenografts(2)
    volume[5] = math.nan
    data = tumour_volumes(animal, group, day, volume, control="g0", start_day=3.0)
    assert "1 measurement(s) without a volume left out" in data.notes
    assert any("before day 3 left out" in note for note in data.notes)
    assert any("different animals" in note for note in data.notes)
    assert data.time.min() == 0.0
    held = [16.0 if place % 9 == 1 else one for place, one in enumerate(volume)]
    assert any("--floor 16" in note for note in tumour_volumes(animal, group, day, held,
               control="g0").notes)  # fmt: skip


def test_growth_that_does_not_slow_down_is_exponential():
    data = tumour_volumes(*xenografts(21, animals=5, leave_at=1e9), control="g0")
    found = fit_growth(data, laws=["exponential", "gompertz"])
    by = {one.law: one for one in found.laws}
    assert by["gompertz"].slowing.low == 0.0
    assert by["gompertz"].final_volume.high == math.inf
    assert by["gompertz"].aic - by["exponential"].aic <= 2.0 + 1e-3
    if by["gompertz"].slowing.value == 0.0:
        assert by["gompertz"].log_likelihood == pytest.approx(
            by["exponential"].log_likelihood, abs=1e-4
        )


def test_a_law_that_does_not_settle_is_named(monkeypatch):
    from solvers.fitting import growth_curves

    search = growth_curves.best_of

    def fails(likelihood):
        if likelihood.law != "exponential":
            raise NotConverged("it did not settle")
        return search(likelihood)

    monkeypatch.setattr(growth_curves, "best_of", fails)
    data = tumour_volumes(*xenografts(5, animals=4), control="g0")
    found = fit_growth(data, laws=["exponential", "logistic"])
    assert [one.law for one in found.laws] == ["exponential"]
    assert found.sentence.endswith("logistic growth did not settle")
    with pytest.raises(NotConverged, match="did not settle"):
        fit_growth(data, laws=["logistic"])


@pytest.mark.slow
@pytest.mark.parametrize(("law", "slowing"), [("exponential", 0.0), ("gompertz", 0.02)])
def test_growth_intervals_cover(law, slowing):
    """200 experiments of 24 animals with a limit of 60 mm3 and animals leaving when large."""
    runs = 200
    hits = dict.fromkeys(("rate", "first", "g1", "g2", "delay"), 0)
    nets = np.array([0.12, 0.07])
    days = time_to_multiple(law, 4.0, nets, np.array(slowing))
    for run in range(runs):
        data = tumour_volumes(
            *xenografts(run, slowing=slowing, floor=60.0), control="g0", floor_mm3=60.0
        )
        found = fit_growth(data, laws=[law], seed=run).best
        for name, estimate, truth in (
            ("rate", found.growth_rate, 0.12),
            ("first", found.first_volume, 120.0),
            ("g1", found.kill_rate["g1"], 0.05),
            ("g2", found.kill_rate["g2"], 0.11),
            ("delay", found.growth_delay["g1"], days[1] - days[0]),
        ):
            hits[name] += estimate.low <= truth <= estimate.high
    assert all(covers(count, runs) for count in hits.values()), hits


# -------------------------------------------------------------- command line


COLONIES = """\
# made for the test
cline\tExp\tdose\tncells\tncolonies
A\te1\t0\t1000\t200
A\te1\t2\t2000\t210
A\te1\t4\t4000\t95
A\te1\t6\t9000\t30
A\te2\t0\t1000\t110
A\te2\t2\t2000\t120
A\te2\t4\t4000\t60
A\te2\t6\t9000\t14
"""


def call(capsys, *arguments):
    capsys.readouterr()
    status = main(["fit", *(str(one) for one in arguments)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_survival_command(tmp_path, capsys):
    table = tmp_path / "colonies.txt"
    table.write_text(COLONIES, encoding="utf-8")
    picture, file = tmp_path / "s.png", tmp_path / "a.toml"
    status, out, err = call(
        capsys, "survival", table, "-o", picture, "--parameters", file, "--json"
    )
    assert (status, err) == (0, "")
    document = json.loads(out)
    (curve,) = document["curves"]
    expected = fit_survival(read_colonies(table).curves["A"])
    assert curve["alpha_per_gy"] == expected.alpha.as_dict()
    assert document["errors"] == "quasi-poisson"
    assert picture.read_bytes().startswith(b"\x89PNG")
    entries = tomllib.loads(file.read_text("utf-8"))["parameter"]
    made = ParameterSet.from_dict({"name": "A", "entries": entries})
    assert made["alpha"].basis == "in vitro"
    assert made["alpha"].evidence == "C"
    assert made["beta"].unit == "1/Gy2"
    assert made["alpha"].source.startswith("calibrated: colonies.txt")
    assert "never a patient's default" in made["alpha"].note
    assert made["alpha"].value == pytest.approx(expected.alpha.value, rel=1e-5)
    status, out, _ = call(capsys, "survival", table)
    assert status == 0
    assert "do not give it these" in out
    assert "alpha/beta" in out
    status, _, err = call(capsys, "survival", table, "-o", picture)
    assert status == 2
    assert "--force" in err


def test_columns_can_be_named(tmp_path, capsys):
    table = tmp_path / "other.csv"
    rows = [line.split("\t") for line in COLONIES.splitlines()[2:]]
    text = ["cells plated;Gy;n;run", *(f"{c};{d};{n};{e}" for _, e, d, c, n in rows)]
    table.write_text("\ufeff" + "\n".join(text), encoding="utf-8")
    named = "dose=Gy,colonies=n,experiment=run"
    status, out, _ = call(capsys, "survival", table, "--columns", named, "--json")
    assert status == 0
    again = tmp_path / "colonies.txt"
    again.write_text(COLONIES, encoding="utf-8")
    _, reference, _ = call(capsys, "survival", again, "--json")
    first, second = (json.loads(one)["curves"][0] for one in (out, reference))
    assert first["name"] == "all"
    assert first["alpha_per_gy"] == second["alpha_per_gy"]


def test_growth_command(tmp_path, capsys):
    table = tmp_path / "volumes.csv"
    rows = [",".join(map(str, row)) for row in zip(*xenografts(3, animals=4), strict=True)]
    table.write_text("\n".join(["animal,group,day,volume", *rows, "m9,g0,0,NaN"]), "utf-8")
    picture, file = tmp_path / "g.png", tmp_path / "g.toml"
    options = ("growth", table, "--control", "g0", "--law", "exponential")
    status, out, err = call(capsys, *options, "-o", picture, "--parameters", file, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["measurements"] == len(rows)
    (law,) = document["laws"]
    kill = law["kill_rate_per_day"]["g2"]
    assert kill["low"] < 0.11 < kill["high"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    entries = tomllib.loads(file.read_text("utf-8"))["parameter"]
    made = ParameterSet.from_dict({"name": "x", "entries": entries})
    assert made["kill_rate_2"].evidence == "C"
    assert "Group g2" in made["kill_rate_2"].note
    assert call(capsys, *options, "--json")[1].replace("null", "0")
    status, out, _ = call(capsys, *options)
    assert status == 0
    assert "kill rate [1/day]" in out


def changed(old, new):
    return COLONIES.replace(old, new)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (changed("\t210\n", "\t-210\n"), "line 4: colonies is -210"),
        (changed("\t210\n", "\t21.5\n"), "counts are whole"),
        (changed("\t210\n", "\t2100\n"), "cannot exceed cells"),
        (changed("\t210\n", "\tmany\n"), "'many', which is no number"),
        (changed("e1\t2\t", "e1\t2,0\t"), "write a decimal point"),
        (changed("e1\t2\t", "e1\t200\t"), "Gy, not cGy"),
        (changed("e1\t2\t", "e1\tinf\t"), "no number"),
        (changed("1000\t200\n", "1000\t0\n"), "a plating efficiency of zero"),
        (changed("A\te2\t0\t1000\t110\n", ""), "no dish of dose 0"),
        ("\n".join(COLONIES.splitlines()[:4]), "at least two different"),
        (changed("ncolonies", "counts"), "no column of colonies"),
        (changed("A\te1\t2\t2000\t210\n", "A\te1\t2\t2000\n"), "has 4 cells and the header 5"),
        ("\n".join(COLONIES.splitlines()[:2]), "no rows"),
        ("", "is empty"),
        (changed("\t2000\t", "\t\t"), "cells is missing"),
        (changed("A\te1\t4", "\te1\t4"), "the line is empty"),
        (changed("ncells", "dose"), "2 columns that could be the dose"),
        (changed("A\te1\t2", '"A\te1\t2'), "quotation marks"),
    ],
)
def test_bad_colonies_are_one_sentence(tmp_path, capsys, text, says):
    table = tmp_path / "colonies.txt"
    table.write_text(text, encoding="utf-8")
    status, out, err = call(capsys, "survival", table)
    assert status == 2, err
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


VOLUMES = "animal,group,day,volume\n" + "".join(
    f"{animal},{group},{day},{100 + 20 * day + animal}\n"
    for group in ("c", "d")
    for animal in (1, 2, 3)
    for day in (0, 3, 6, 9)
)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (VOLUMES, (), "name it (--control NAME)"),
        (VOLUMES, ("--control", "x"), "no group 'x'"),
        (VOLUMES.replace("1,d,3,161", "1,d,3,0"), ("--control", "c"), "--floor MM3"),
        (VOLUMES.replace("1,d,3,161", "1,d,3,-4"), ("--control", "c"), "volume is -4"),
        (VOLUMES.replace("1,d,3,161", "1,d,0,161"), ("--control", "c"), "twice on day 0"),
        (VOLUMES, ("--control", "c", "--start", "9"), "choose a day with"),
        (VOLUMES, ("--control", "c", "--start", "nan"), "choose a day with"),
        (VOLUMES, ("--control", "c", "--floor", "-1"), "limit of the calipers"),
        (VOLUMES, ("--control", "c", "--multiple", "1"), "must exceed 1"),
        (VOLUMES, ("--control", "c", "--confidence", "95"), "confidence"),
        (VOLUMES, ("--control", "c", "--errors", "poisson"), "belongs to 'twin fit survival'"),
        (VOLUMES, ("--control", "c", "--columns", "dose=x"), "no column of such a table"),
        (VOLUMES, ("--control", "c", "--columns", "day"), "write each role once"),
        (VOLUMES, ("--control", "c", "-o", "x.pdf"), "must end in .png"),
        (VOLUMES + "9,e,0,100\n9,e,3,120\n", ("--control", "c"), "1 animal(s)"),
        (VOLUMES, ("--control", "d", "--floor", "400"), "has no upper end"),
    ],
)
def test_bad_volumes_are_one_sentence(tmp_path, capsys, text, options, says):
    table = tmp_path / "volumes.csv"
    table.write_text(text, encoding="utf-8")
    status, out, err = call(capsys, "growth", table, *options)
    assert status == 2, err
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_the_page_s_python_runs(capsys):
    page = (Path(__file__).resolve().parent.parent / "docs" / "fitting.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict = {}
    exec(compile(block, "fitting.md", "exec"), names)  # noqa: S102
    assert capsys.readouterr().out.startswith(names["found"].alpha.text())


@pytest.mark.parametrize(("line", "column"), [("cal33", 1), ("okf6TERT1", 2)])
def test_the_page_s_table_is_of_the_real_counts(line, column):
    file = real_data("radiobiology", "CFAssay", "expl1_cellsurvcurves.txt")
    found = fit_survival(read_colonies(file).curves[line])
    page = (Path(__file__).resolve().parent.parent / "docs" / "fitting.md").read_text("utf-8")
    rows = {
        cells[0]: [float(one) for one in re.findall(r"\d+\.\d+|\d+", cells[column])]
        for cells in (
            [cell.strip() for cell in row.strip("|").split("|")]
            for row in page.splitlines()
            if row.startswith("|")
        )
        if len(cells) == 3
    }
    for name, estimate, digits in (
        ("alpha [1/Gy]", found.alpha, 3),
        ("beta [1/Gy²]", found.beta, 4),
        ("alpha/beta [Gy]", found.alpha_beta, 1),
        ("survival after 2 Gy", found.surviving_fraction_2gy, 3),
    ):
        truth = [estimate.value, estimate.low, estimate.high]
        if name == "alpha/beta [Gy]" and line == "okf6TERT1":
            truth[2] = round(truth[2])
        assert rows[name] == pytest.approx(truth, abs=0.6 * 10.0**-digits), name
    assert rows["standard errors of alpha, beta"] == pytest.approx(found.standard_errors, abs=6e-5)
    assert rows["dispersion"] == [round(found.dispersion, 1)]
