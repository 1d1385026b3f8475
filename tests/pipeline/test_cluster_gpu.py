"""What trainings would take on a GPU, by operations that are counted by hand."""

import pytest
import torch

from pipeline.cluster.gpu import ARITHMETIC, START, TRAFFIC, Operations, steps, table
from pipeline.study import load_study


@pytest.mark.parametrize(
    ("compute", "count", "seconds"),
    [
        (lambda x: x @ x, 1, 2 * 1000**3 / ARITHMETIC),
        (lambda x: x.T[:, :5], 0, 0.0),  # views cost nothing
        (lambda x: x[0, 0] + 1, 1, START),
        (lambda x: x + x, 1, max(START, 3 * 4 * 1000**2 / TRAFFIC)),
    ],
    ids=["arithmetic", "views", "start", "traffic"],
)
def test_an_operation_lasts_the_longest_of_its_start_its_traffic_and_its_arithmetic(compute, count, seconds):
    x = torch.ones(1000, 1000)
    with Operations() as operations:
        compute(x)
    assert operations.count == count
    assert operations.seconds == pytest.approx(seconds)


def test_a_training_s_hours_are_its_steps_of_all_seeds():
    small = {"M2": {"epochs": 2, "seeds": 3, "batch_size": 8, "dataset": {"train_images": 20}}}
    study = load_study({"profile": "test", "experiments": ["M2"], "overrides": small})
    assert steps(study.run("M2", "mlp", 1)) == 6
    row = next(line for line in table(study, ["M2"]).splitlines() if "M2/mlp " in line)
    assert row.split("|")[4:6] == [" 6 ", " 3 "]
