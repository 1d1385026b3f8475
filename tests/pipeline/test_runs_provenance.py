"""Where results come from: the time of every stage."""

import pandas as pd
import pytest

from pipeline.runs.provenance import seconds_by_run, seconds_by_stage


def test_a_run_s_seconds_are_summed_and_those_of_its_derivative_apart(tmp_path):
    names = {"experiment": "M1", "variant": "euler", "seed": 1, "device": "cpu", "threads": 2}
    pd.DataFrame(
        [
            {**names, "variant_name": "Euler", "epoch": epoch, "seconds": 10.0 * epoch, "derivative_share": 0.8}
            for epoch in (1, 2)
        ]
    ).to_csv(tmp_path / "trained.csv")
    pd.DataFrame([{**names, "experiment": "D1", "seconds": 5.0}]).to_csv(tmp_path / "fitted.csv")
    trained, fitted = seconds_by_run([tmp_path / "trained.csv", tmp_path / "fitted.csv"])
    assert (trained["experiment"], trained["seconds"]) == ("M1", 30.0)
    assert trained["derivative_seconds"] == pytest.approx(24.0)
    assert (trained["variant_name"], fitted["variant_name"]) == ("Euler", "euler")
    assert (fitted["seconds"], fitted["derivative_seconds"]) == (5.0, 0.0)


def test_the_jobs_of_a_stage_are_summed_and_the_longest_stage_comes_first(tmp_path):
    jobs = {"figures/a.tsv": (2.0, 1.0), "figures/b.tsv": (3.0, 2.5), "runs/M1/euler/seed1.tsv": (400.0, 390.0)}
    for name, (seconds, processor) in jobs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tcpu_time\n{seconds}\t0:00:01\t{processor}\n")
    (tmp_path / "data").mkdir()
    quick = tmp_path / "tables" / "P1.tsv"
    quick.parent.mkdir()
    quick.write_text("s\th:m:s\tcpu_time\n0.1\t0:00:00\t-\n")  # too short for Snakemake to have seen its processor time
    assert seconds_by_stage(tmp_path) == [
        {"stage": "runs", "jobs": 1, "seconds": 400.0, "cpu_seconds": 390.0},
        {"stage": "figures", "jobs": 2, "seconds": 5.0, "cpu_seconds": 3.5},
        {"stage": "tables", "jobs": 1, "seconds": 0.1, "cpu_seconds": 0.0},
    ]
