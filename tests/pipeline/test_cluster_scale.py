"""How long a study takes on many workers: schedules that are known by hand."""

import pytest

from pipeline.cluster.scale import Job, growth, jobs_of, schedule, table
from pipeline.study import load_study


def study(**config):
    return load_study({"profile": "test", "experiments": ["S1", "M3", "M4", "P1"], **config})


def test_one_worker_takes_the_sum_and_many_the_longest_chain():
    jobs = [Job("train", 5), Job("measure", 4, ("train",)), Job("alone", 7)]
    assert schedule(jobs, 1) == 16
    assert schedule(jobs, 2) == schedule(jobs, 64) == 9


def test_the_longest_job_starts_first():
    assert schedule([Job("a", 1), Job("b", 1), Job("c", 2)], 2) == 2


def test_jobs_that_can_never_start_are_named():
    with pytest.raises(ValueError, match="never start: a"):
        schedule([Job("a", 1, ("b",))], 1)


def test_time_grows_with_images_epochs_steps_and_the_square_of_filters():
    small = {"S1": {"epochs": 1, "solver": {"step_size": 0.1}, "model": {"arguments": {"filters": 16}}}}
    large = {"S1": {"epochs": 3, "solver": {"step_size": 0.05}, "model": {"arguments": {"filters": 32}}}}
    variant = next(iter(study().experiments["S1"].variants))
    runs = [study(overrides=sizes).run("S1", variant, 1) for sizes in (large, small)]
    assert growth(*runs) == pytest.approx(3 * 2 * 4)


def test_measured_times_are_used_where_they_are_and_a_measurement_waits_for_its_training(tmp_path):
    wanted = study()
    trained = next(run for run in map(wanted.trained, wanted.runs("M4")) if run)
    file = tmp_path / "benchmarks/runs" / f"{trained.experiment}/{trained.variant}/seed1.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\th:m:s\n12.5\t0:00:12\n", encoding="utf-8")
    jobs, known = jobs_of(wanted, study(expected_seconds={"S1": 65}), tmp_path)
    by_name = {job.name: job for job in jobs}
    assert known == len(wanted.runs(trained.experiment)) / len(wanted.experiments[trained.experiment].variants)
    assert by_name[trained.folder].seconds == 12.5
    assert {job.seconds for job in jobs if job.name.startswith("S1/")} == {65}
    assert by_name[wanted.runs("M4")[0].folder].needs == (trained.folder,)
    assert "| 64 |" in table(jobs, known, "full", "default")


def test_the_longest_variant_stands_for_one_that_was_left_out(tmp_path):
    wanted, small = study(), study(overrides={"S1": {"epochs": 1}}, expected_seconds={"S1": 1})
    first, second, *_ = wanted.experiments["S1"].variants
    for variant, seconds in {first: 3, second: 7}.items():
        file = tmp_path / f"benchmarks/runs/S1/{variant}/seed1.tsv"
        file.parent.mkdir(parents=True)
        file.write_text(f"s\n{seconds}\n", encoding="utf-8")
    jobs, known = jobs_of(wanted, small, tmp_path)
    epochs = wanted.runs("S1")[0].settings.epochs
    of_variant = {job.name.split("/")[1]: job.seconds for job in jobs if job.name.startswith("S1/")}
    assert known == 2 * len(wanted.runs("S1")) / len(of_variant)
    assert of_variant.pop(first) == 3 * epochs
    assert set(of_variant.values()) == {7 * epochs}


def test_only_the_timed_epochs_grow(tmp_path):
    wanted, small = study(), study(overrides={"S1": {"epochs": 1}})
    run = small.runs("S1")[0]
    for name, text in {
        f"benchmarks/runs/{run.folder}.tsv": "s\n30\n",
        f"runs/{run.folder}/timing.csv": "epoch,seconds\n1,20\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    jobs, _ = jobs_of(wanted, small, tmp_path)
    epochs = wanted.runs("S1")[0].settings.epochs
    assert next(job for job in jobs if job.name == run.folder).seconds == 10 + 20 * epochs
