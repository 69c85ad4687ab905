"""Draws of parameters: closed forms of a coupled pair, ranges, seeds, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from plan_cases import RT, planned
from small_patient import write_small_patient

from scenarios.changes import apply_changes
from scenarios.planning import plan_study
from scenarios.study import Case, Study
from twin.anatomy import read_anatomy
from twin.errors import InvalidInput
from twin.parameter_draws import sample, unpaired
from twin.parameters import Parameter, ParameterSet, load_parameter_set
from twin.priors import Joint, LogNormal, Normal
from twin.regimen import Regimen

BASE = load_parameter_set("glioblastoma")
POWER, OWN, PARTNER = 0.7, 0.3, 0.5


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory):
    return read_anatomy(write_small_patient(tmp_path_factory.mktemp("head")))


def entry(name, prior, **fields):
    return Parameter(name, 1.0, "1", -1e3, 1e3, prior, "assumed: a test", **fields)


def pair(**fields):
    joint = Joint("y", POWER, "assumed: a test")
    x = entry("x", LogNormal(1.0, OWN), joint=joint, **fields)
    y = entry("y", LogNormal(1.0, PARTNER))
    return ParameterSet("pair", {"x": x, "y": y})


def test_a_coupled_pair_has_the_stated_correlation_and_conditional_mean():
    """ln x = 0.7 ln y + 0.3 z: correlation 0.35/sqrt(0.35^2 + 0.3^2), slope 0.7, spread 0.461."""
    count = 40000
    draws = sample(pair(), ["x", "y"], count, seed=3)
    x, y = np.log(draws["x"]), np.log(draws["y"])
    expected = POWER * PARTNER / math.sqrt((POWER * PARTNER) ** 2 + OWN**2)
    assert expected == pytest.approx(0.7593, abs=1e-4)
    assert np.corrcoef(x, y)[0, 1] == pytest.approx(expected, abs=4.0 / math.sqrt(count))
    assert np.polyfit(y, x, 1)[0] == pytest.approx(POWER, abs=4.0 * OWN / PARTNER / count**0.5)
    near = np.abs(draws["y"] - 1.5) < 0.05
    # E[x | y = 1.5] = 1.5^0.7 exp(0.3^2 / 2)
    wanted = 1.5**POWER * math.exp(OWN**2 / 2)
    assert draws["x"][near].mean() == pytest.approx(wanted, rel=4 * OWN / near.sum() ** 0.5)
    assert x.std() == pytest.approx(math.hypot(POWER * PARTNER, OWN), rel=0.02)
    assert y.std() == pytest.approx(PARTNER, rel=0.02)


def test_a_partner_that_is_not_drawn_counts_by_its_value():
    """x about 8^0.7 where y is 8."""
    draws = sample(pair().replace(y=8.0), ["x"], 20000, seed=4)
    assert set(draws) == {"x"}
    assert np.median(draws["x"]) == pytest.approx(8.0**POWER, rel=0.02)
    assert np.log(draws["x"]).std() == pytest.approx(OWN, rel=0.02)


def test_the_packaged_pair_is_that_of_its_source():
    """Rockne 2009: from 0.02 to 0.1 per day alpha grows threefold."""
    joint, own = BASE["alpha"].joint, BASE["alpha"].prior
    partner = BASE["proliferation_rate"].prior
    ratio = joint.median(own, partner, 0.1) / joint.median(own, partner, 0.02)
    assert ratio == pytest.approx(3.0, rel=1e-3)
    # 0.03 and 0.09 themselves are within its spread
    for rate, alpha in ((0.02, 0.03), (0.1, 0.09)):
        assert abs(math.log(alpha / joint.median(own, partner, rate))) < own.sigma_ln


def test_draws_keep_to_ranges_seeds_and_any_order_of_names():
    names = ["alpha", "proliferation_rate", "initial_shift"]
    draws = sample(BASE, names, 3000, seed=5)
    assert list(draws) == names
    for name, values in draws.items():
        assert values.shape == (3000,)
        assert (values >= BASE[name].low).all()
        assert (values <= BASE[name].high).all()
    again = sample(BASE, names[::-1], 3000, seed=5)
    assert all((again[name] == draws[name]).all() for name in names)
    assert (sample(BASE, names, 3000, seed=6)["alpha"] != draws["alpha"]).any()


def test_a_normal_prior():
    wide = ParameterSet("one", {"x": entry("x", Normal(2.0, 0.5))})
    draws = sample(wide, ["x"], 20000)["x"]
    assert draws.mean() == pytest.approx(2.0, abs=0.02)
    assert draws.std() == pytest.approx(0.5, rel=0.02)


def test_what_cannot_be_drawn():
    with pytest.raises(InvalidInput, match="'visibility_softness' has no prior"):
        sample(BASE, ["visibility_softness"], 3)
    with pytest.raises(InvalidInput, match="did you mean 'alpha'"):
        sample(BASE, ["alfa"], 3)
    with pytest.raises(InvalidInput, match="0 draws; give a whole number"):
        sample(BASE, ["alpha"], 0)
    alone = ParameterSet("alone", {"x": pair()["x"], "y": entry("y", None)})
    with pytest.raises(InvalidInput, match="'y' is what another one goes with"):
        sample(alone, ["x"], 2)
    with pytest.raises(InvalidInput, match="There is no parameter 'y'"):
        sample(ParameterSet("without", {"x": pair()["x"]}), ["x"], 2)
    narrow = replace(entry("x", LogNormal(1.0, 0.1)), low=0.99, high=1.0)
    assert len(sample(ParameterSet("narrow", {"x": narrow}), ["x"], 2)["x"]) == 2
    never = ParameterSet("never", {"x": replace(narrow, prior=LogNormal(1e6, 0.1))})
    with pytest.raises(InvalidInput, match="hold next to nothing"):
        sample(never, ["x"], 2)
    x = entry("x", LogNormal(1.0, 0.1), joint=Joint("y", 1.0, "assumed: a test"))
    y = entry("y", LogNormal(1.0, 0.1), joint=Joint("x", 1.0, "assumed: a test"))
    with pytest.raises(InvalidInput, match="x and y each go with one another in a circle"):
        sample(ParameterSet("circle", {"x": x, "y": y}), ["x", "y"], 2)


@pytest.mark.parametrize(
    ("joint", "says"),
    [
        ({"with": "y", "power": 1.0}, "joint needs with, power, source"),
        ({"with": "y", "power": "2", "source": "assumed: a"}, "power must be a number"),
        ({"with": "y", "power": 20.0, "source": "assumed: a"}, "between -10 and 10"),
        ({"with": "y", "power": 1.0, "source": "Smith"}, "joint has no usable source"),
        ({"with": "x", "power": 1.0, "source": "assumed: a"}, "needs another parameter"),
    ],
)
def test_couplings_that_do_not_load(joint, says):
    content = pair().as_dict()
    assert ParameterSet.from_dict(content) == pair()
    content["entries"]["x"]["joint"] = joint
    with pytest.raises(InvalidInput, match=says):
        ParameterSet.from_dict(content)


def test_growth_changed_alone_is_said_with_the_alpha_that_goes_with_it(anatomy):
    """0.036 (0.06/0.03)^0.683 = 0.0578."""
    alone = Case("faster", {"proliferation_rate": "0.06 1/day"})
    both = Case("both", {"proliferation_rate": "0.06 1/day", "alpha": "0.0578 1/Gy"})
    found = [item.warning.sentence for item in planned(anatomy, RT, cases=[alone, both]).warnings]
    assert found == [
        "Case 'faster': alpha stays 0.036 1/Gy with a proliferation rate of 0.06 1/day, but its "
        "source pairs 0.0578 with that; change both, or say so."
    ]
    untreated = Study({"none": Regimen()}, cases=[alone])
    assert not plan_study(untreated, anatomy).warnings


def test_growth_changed_alone_by_a_change():
    _, changed, said = apply_changes(
        Regimen(RT), BASE, ["parameters.proliferation_rate=0.06 1/day"]
    )
    assert unpaired(changed)["alpha"][1] == pytest.approx(0.036 * 2.0**0.683)
    assert any("its source pairs 0.0578 with that" in sentence for sentence in said)
    _, _, said = apply_changes(Regimen(), BASE, ["parameters.proliferation_rate=0.06 1/day"])
    assert not any("pairs" in sentence for sentence in said)
