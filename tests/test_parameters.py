import math
from dataclasses import replace

import pytest

from twin.errors import InvalidInput
from twin.parameters import LogNormal, ParameterSet, load_parameter_set, parameter_set_names

ENTRY = {
    "basis": "image",
    "value": 0.1,
    "unit": "1/Gy",
    "low": 0.0,
    "high": 1.0,
    "source": "assumed: for a test",
    "evidence": "D",
}


def test_every_packaged_set_loads_with_sources():
    assert "glioblastoma" in parameter_set_names()
    for name in parameter_set_names():
        for entry in load_parameter_set(name).values():
            assert entry.source.split(":")[0] in {"doi", "calibrated", "assumed"}


def test_the_glioblastoma_set_has_the_values_of_its_sources():
    base = load_parameter_set("glioblastoma")
    width = math.sqrt(base.value("diffusivity_white") / base.value("proliferation_rate"))
    assert width == pytest.approx(2.08, abs=0.005)
    assert base.value("diffusivity_white") / base.value("diffusivity_grey") == pytest.approx(5)
    assert base.value("threshold_t1gd") == 0.80
    assert base.value("threshold_flair") == 0.16
    # Ostermann 2004: volume 30.3 L and clearance 10 L/h make a half-life of 2.1 h
    half_life = math.log(2) * 30.3 / base.value("temozolomide_clearance")
    assert base.value("temozolomide_half_life") == pytest.approx(half_life, rel=0.01)


def test_replace_is_checked_and_leaves_the_old_set():
    base = load_parameter_set("glioblastoma")
    changed = base.replace(alpha=0.05, proliferation_rate=0.02)
    assert (changed.value("alpha"), base.value("alpha")) == (0.05, 0.036)
    with pytest.raises(InvalidInput, match="did you mean 'alpha'"):
        base.replace(alfa=0.05)
    for bad in (0.9, -0.1, math.nan, math.inf, "0.05", True):
        with pytest.raises(InvalidInput, match="'alpha'"):
            base.replace(alpha=bad)
    with pytest.raises(InvalidInput, match="did you mean"):
        base.value("diffusivity_wite")
    assert "no_such" not in base


def test_sets_do_not_change():
    base = load_parameter_set("glioblastoma")
    with pytest.raises(AttributeError):
        base.name = "other"
    with pytest.raises(TypeError):
        base["alpha"] = 1.0
    with pytest.raises(AttributeError):
        base["alpha"].value = 1.0


def test_as_dict_and_back():
    base = load_parameter_set("glioblastoma").replace(alpha=0.05)
    again = ParameterSet.from_dict(base.as_dict())
    assert again == base
    assert again != load_parameter_set("glioblastoma")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "Smith 2004"}, "no usable source"),
        ({"source": "doi:"}, "no usable source"),
        ({"source": None}, "has no source"),
        ({"unit": None}, "has no unit"),
        ({"unit": "1/Gyy"}, "not a known unit"),
        ({"value": 2.0}, "outside its range"),
        ({"value": math.nan}, "outside its range"),
        ({"low": math.nan}, "must not exceed"),
        ({"evidence": "E"}, "evidence is 'E'"),
        ({"prior": {"median": 0.1}}, "sigma_ln"),
        ({"prior": {"median": -0.1, "sigma_ln": 0.3}}, "positive median"),
        ({"sorce": "doi:10.1"}, "did you mean 'source'"),
    ],
)
def test_entries_that_do_not_load(change, says):
    entry = {key: value for key, value in {**ENTRY, **change}.items() if value is not None}
    with pytest.raises(InvalidInput, match=says):
        ParameterSet.from_dict({"name": "test", "entries": {"alpha": entry}})


def test_unknown_set_suggests_the_nearest():
    with pytest.raises(InvalidInput, match="did you mean 'glioblastoma'"):
        load_parameter_set("gliobastoma")
    with pytest.raises(InvalidInput, match="There is no parameter set"):
        load_parameter_set("../parameters/glioblastoma")


def test_lognormal_quantiles():
    prior = LogNormal(0.03, 0.9)
    # one deviation above the median of a normal is its 84.134 % quantile
    assert prior.quantile(0.8413447460685429) == pytest.approx(0.03 * math.exp(0.9), rel=1e-9)
    with pytest.raises(InvalidInput):
        prior.quantile(1.0)
    with pytest.raises(InvalidInput):
        replace(prior, sigma_ln=0.0)
