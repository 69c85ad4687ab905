"""A growth model of one's own: cells that either migrate or divide ("go or grow").

Migrating cells m move and do not divide, dividing cells g divide and do not move; where it
is crowded they set out, where there is room they settle (after Hatzikirou, Basanta, Simon,
Schaller and Deutsch 2012, Math Med Biol 29:49, doi 10.1093/imammb/dqq011 [unverified]; the
rates here are illustrations)::

    m' = div(D grad m) + a T g - b (1 - T) m - kill m
    g' = rho g (1 - T) - a T g + b (1 - T) m - kill g
    d' = kill (m + g) - lambda d
"""

import math

import twin
from solvers import FiniteElementSolver, Model, Rate, Species

SETTING_OUT = 0.2  # a, [1/day]
SETTLING = 0.3  # b, [1/day]


def rates(s, p):
    """Rate of each species: births less deaths of one cell, and what comes from others."""
    room = 1.0 - s.total
    out, back = SETTING_OUT * s.total, SETTLING * room
    return {
        "migrating": Rate(-back - p.kill, out * s.dividing),
        "dividing": Rate(p.proliferation_rate * room - out - p.kill, back * s.migrating),
        "dead": Rate(
            -math.log(2.0) / p.dead_clearance_half_life, p.kill * (s.migrating + s.dividing)
        ),
    }


def initial(imaged, p):
    """A tenth of the cells that the images show are on their way on day 0."""
    viable = imaged["viable"]
    return {**imaged, "migrating": 0.1 * viable, "dividing": 0.9 * viable}


def full(p):
    """Radiation kills both with the patient's own alpha and beta."""
    return 1.0, 1.0


GO_OR_GROW = Model(
    name="go or grow",
    species=(  # those that migrate come first
        Species("migrating", mobile=True, alive=True, sensitivity=full),
        Species("dividing", alive=True, sensitivity=full),
        Species("dead"),
        Species("necrosis"),
    ),
    parameters=("proliferation_rate", "dead_clearance_half_life"),
    rates=rates,
    initial=initial,
)


def main(patient_file="demo/patient.toml", days=90):
    """FLAIR volume of the untreated tumour by both models, [ml]."""
    patient = twin.load(patient_file)
    for model in (None, GO_OR_GROW):
        run = FiniteElementSolver(model=model).solve(patient, twin.Regimen(), [0.0, float(days)])
        volumes = run.tumour_volume_soft.sel(threshold="flair").values / 1000.0
        name = "as the patient file says" if model is None else model.name
        print(f"{name}: {volumes[0]:.1f} ml, after {days} days {volumes[1]:.1f} ml")


if __name__ == "__main__":
    main()
