"""A disk that fills while a file is written: the file keeps what it held, and nothing else is left."""

import resource
import signal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files import write_csv

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
