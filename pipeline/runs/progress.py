"""How far a run is: a bar on a terminal, and a line in the log now and then."""

from __future__ import annotations

import time
from logging import Logger

from tqdm import tqdm

FIRST_LINE_SECONDS = 3
LINE_SECONDS = 10
REFRESH_SECONDS = 0.5


class Progress:
    """Counts trained images, or whatever `unit` is. `due` says when `show` is worth its cost: twice a second.

    title: the run, e.g. "M1 euler seed 1".
    total, done: images to train on in all epochs, and how many of them an earlier process did.
    bar: whether to draw a bar where standard error is a terminal.
    """

    def __init__(self, title: str, total: int, done: int, bar: bool, log: Logger, unit: str = "image"):
        self.title, self.total, self.log, self.unit = title, total, log, unit
        self.initial = self.done = done
        self.start = self.shown = time.monotonic()
        self.next_line = self.start + FIRST_LINE_SECONDS
        self.bar = tqdm(
            desc=title,
            total=total,
            initial=done,
            unit=unit,
            mininterval=REFRESH_SECONDS,
            leave=False,
            dynamic_ncols=True,
            disable=None if bar else True,  # None: where there is no terminal
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def advance(self, count: int) -> None:
        """Count what was trained on."""
        self.done += count

    @property
    def due(self) -> bool:
        """Whether enough time went by to show something new."""
        return time.monotonic() - self.shown >= REFRESH_SECONDS

    def show(self, place: str, loss: float) -> None:
        """Refresh the bar, and the log when its turn has come. `place` is, e.g., "epoch 1/5, batch 3/8"."""
        self.shown = time.monotonic()
        self.bar.set_postfix_str(f"{place}, loss {loss:.4f}", refresh=False)
        self.bar.update(self.done - self.bar.n)
        # Nothing may be done yet where a machine is busy with other work: then there is no rate to tell.
        if self.shown < self.next_line or self.done == self.initial:
            return
        rate = (self.done - self.initial) / (self.shown - self.start)
        left = tqdm.format_interval((self.total - self.done) / rate)
        if self.next_line == self.start + FIRST_LINE_SECONDS:
            whole = tqdm.format_interval((self.total - self.initial) / rate)
            self.log.info("%s: will take about %s on this machine", self.title, whole)
        self.log.info("%s: %s, %.1f %ss/s, loss %.4f, %s left", self.title, place, rate, self.unit, loss, left)
        self.next_line = self.shown + LINE_SECONDS
