"""What a run says of how far it is, also where nothing is done yet."""

import logging

from pipeline.runs import progress
from pipeline.runs.progress import Progress


def test_a_line_that_is_due_before_anything_is_done_waits_for_it(monkeypatch, caplog):
    clock = iter([0.0, 100.0, 110.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), Progress("run", 40, 10, bar=False, log=logging.getLogger("p")) as shown:
        shown.show("epoch 1", 0.5)  # at 100 s, long after the first line was due
        assert not caplog.messages
        shown.advance(10)
        shown.show("epoch 1", 0.5)
    # Ten images in 110 s: thirty in 330 s, and 20 are left.
    assert caplog.messages[0] == "run: will take about 05:30 on this machine"
    assert caplog.messages[1].endswith("03:40 left")
