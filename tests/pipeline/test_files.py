"""A disk that fills while a file is written: the file keeps what it held, and nothing else is left."""

import logging
import resource
import runpy
import signal
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compute import primer
from pipeline.files import write_csv
from pipeline.fit import spiral
from pipeline.measure import gradient_costs
from pipeline.study import load_study

COMMAND = 'make test OPTIONS="-n0 --hypothesis-profile many --record-trust tests/pipeline/test_files.py"'


@pytest.fixture
def room(monkeypatch):
    """room(bytes): from now on no file may grow beyond so many bytes, as on a disk that fills in the middle of one."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1][1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before[1])
    signal.signal(signal.SIGXFSZ, before[0])


def test_a_table_is_written_whole_or_not_at_all(trust, tmp_path, room):
    path = tmp_path / "table.csv"
    table = pd.DataFrame({"x": range(5000)})
    size = len(table.to_csv(index=False))
    with trust("a disk that fills while a table is written: the table before is kept, whole", COMMAND) as count:

        @given(st.integers(0, size - 1))
        def try_one(space):
            count.tried += 1
            path.write_text("before\n")
            room(space)
            try:
                with pytest.raises(OSError, match="File too large"):
                    write_csv(table, path)
            finally:
                room(resource.RLIM_INFINITY)
            assert path.read_text() == "before\n"
            assert [left.name for left in tmp_path.iterdir()] == ["table.csv"]

        try_one()
    write_csv(table, path)
    assert len(path.read_text()) == size


class Files(list):
    """Files of a rule, in their order and by name, as Snakemake has them."""

    def __getattr__(self, name):
        return next(path for path in self if name in path)

    def __getitem__(self, key):
        return getattr(self, key) if isinstance(key, str) else super().__getitem__(key)


@pytest.mark.parametrize(
    ("rule", "where", "experiment"),
    [("compute", primer, "P1"), ("measure", gradient_costs, "A4"), ("fit", spiral, "D1"), ("stack_runs", None, None)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_full_disk_is_one_clear_message_of_each_rule(tmp_path, room, monkeypatch, caplog, rule, where, experiment):
    large = pd.DataFrame({"variant": "main", "x": range(10_000)})
    large.to_csv(tmp_path / "history.csv", index=False)
    params = SimpleNamespace(trained=None, processed=tmp_path, device="cpu", checkpoint_seconds=30)
    params.called = {"main": "main"}
    params.checkpoint, params.made_by = tmp_path / "run.pt", tmp_path / "made_by.csv"
    if experiment:
        run = load_study({"profile": "t", "experiments": [experiment]}).runs()[0]
        params.run = run.model_dump()
        monkeypatch.setattr(where, run.function.partition(".")[2], lambda *given: {"history": large})
    written = tmp_path / "results" / "history.csv"
    job = SimpleNamespace(params=params, output=Files([str(written)]), input=Files([str(tmp_path / "history.csv")]))
    job.log = [tmp_path / "rule.log"]
    monkeypatch.setattr(logging, "basicConfig", lambda **how: None)
    room(5000)
    with pytest.raises(SystemExit, match="1"):
        runpy.run_path(f"pipeline/scripts/{rule}.py", init_globals={"snakemake": job})
    assert f"cannot write {written}: File too large. " in caplog.text
    assert "Make room there" in caplog.text
    assert list(written.parent.iterdir()) == []
