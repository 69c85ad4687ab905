"""How often the intervals of fits hold: simulated patients, fitted one after another.

    .venv/bin/python docs/coverage.py PATIENT.toml --patients 60 -o coverage.jsonl

Truths are drawn from the prior; scans come from the finite-element solver on the coarse mesh with
half-day steps, fits run on the coarsest mesh with the batch's own. A patient that is in the file
already is not fitted again. Prints, for every unknown, how often the 90 % interval held and how
uniform the truths' ranks are. Research use only.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from scipy import stats

import twin
from scenarios.calibration.simulated import simulated_follow_ups
from solvers.calibration.draws import draw
from solvers.calibration.most_likely import most_likely
from solvers.calibration.outlines import OutlineNoise
from solvers.calibration.problem import Problem
from solvers.calibration.scans import observe
from solvers.calibration.unknowns import Unknowns
from twin.errors import NotConverged
from twin.follow_up import CalibrationTable
from twin.regimen import Regimen

UNKNOWNS = ("diffusivity_white", "proliferation_rate", "outline_shift", "threshold_t1gd",
            "threshold_flair")  # fmt: skip
DAYS = (21.0, 63.0)


def one_patient(patient, number, threads):
    """Rank of the truth among the draws for each unknown, by weights; None where nothing came."""
    unknowns = Unknowns(UNKNOWNS, patient.parameters)
    truth = unknowns.draws_of_the_prior(1, 1000 + number)[0]
    how = CalibrationTable()
    noise = OutlineNoise(how.outline_sd, how.shared_sd)
    scans = simulated_follow_ups(
        patient.on_coarse_mesh(), unknowns.parameters(truth), Regimen(), DAYS, noise,
        oedema_mm=how.oedema_sd, seed=number,
    )  # fmt: skip
    fitted = patient.on_coarsest_mesh()
    seen = observe(fitted, scans, Regimen(), how).observations
    problem = Problem(fitted, Regimen(), unknowns, seen, threads=threads)
    record = {"patient": number, "truth": truth.tolist()}
    try:
        best = most_likely(problem, starts=3, seed=number)[0]
        found = draw(problem, best, effective=200, seed=number)
    except NotConverged as error:
        return {**record, "failed": str(error)}
    ranks = [float(found.weights[found.places[:, k] < truth[k]].sum()) for k in range(len(truth))]
    mean = found.weights @ found.places
    spread = found.weights @ (found.places - mean) ** 2
    return {**record, "ranks": ranks, "mean": mean.tolist(), "variance": spread.tolist(),
            "effective": found.effective, "runs": problem.runs}  # fmt: skip


def table(records):
    """Coverage and ranks of every unknown as lines of a table."""
    done = [record for record in records if "ranks" in record]
    count = len(done)
    lines = [
        f"{count} patients fitted, {len(records) - count} without a result",
        "",
        "| unknown | 90 % interval held | 99.9 % binomial | ranks uniform, p | learnt, median |",
        "|---|---|---|---|---|",
    ]
    low, high = stats.binom.ppf([0.0005, 0.9995], count, 0.9)
    for k, name in enumerate(UNKNOWNS):
        ranks = np.array([record["ranks"][k] for record in done])
        held = int(((ranks > 0.05) & (ranks < 0.95)).sum())
        learnt = np.median([1.0 - record["variance"][k] for record in done])
        lines.append(
            f"| {name.replace('_', ' ')} | {held} of {count} ({100 * held / count:.0f} %) | "
            f"{low:.0f} to {high:.0f} | {stats.kstest(ranks, 'uniform').pvalue:.2g} | "
            f"{100 * learnt:.0f} % |"
        )
    return "\n".join(lines)


def main():
    """Fit the patients that are not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patient")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("-o", "--output", default="coverage.jsonl")
    arguments = parser.parse_args()
    file = Path(arguments.output)
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {record["patient"] for record in records}
    patient = twin.load(arguments.patient)
    for number in range(arguments.patients):
        if number not in known:
            records.append(one_patient(patient, number, arguments.threads))
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(records[-1]) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
