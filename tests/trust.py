"""What was tried to break library and study, kept in data/reference/trust.csv for the report's section on trust.

A test that tries many cases counts them and tells the fixture `trust`; they are kept where `--record-trust` was given.
"""

import csv
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.tiny_study import ROOT

TABLE = ROOT / "data" / "reference" / "trust.csv"
COLUMNS = ["check", "tried", "lost", "figure", "command", "commit", "date"]


def refusal(error: type[Exception], call: Callable[[], Any]) -> tuple[Any, str]:
    """What `call` returns, and an empty message; or None, and the message of the `error` it raised."""
    try:
        return call(), ""
    except error as raised:
        return None, str(raised)


@dataclass
class Count:
    """What a test counts while it tries: cases, those that failed, and what it measured, in words with its unit."""

    tried: int = 0
    lost: int = 0
    figure: str = ""


@contextmanager
def counting(check: str, command: str, table: Path | None = TABLE) -> Iterator[Count]:
    """A count that is kept when the block ends; one that ends in an error has lost a case at least."""
    count = Count()
    try:
        yield count
    except BaseException:
        count.lost = max(1, count.lost)
        raise
    finally:
        if table is not None:
            record(check, count.tried, count.lost, count.figure, command, table)


def record(check: str, tried: int, lost: int, figure: str, command: str, table: Path = TABLE) -> None:
    """Keep how many cases a check tried and lost, in place of what it tried before.

    check: what is held to what, in words. figure: what was measured, in words with its unit.
    command: tries again. The commit is the one checked out; "and changes" where it is not as committed.
    """
    changed = git("status", "--porcelain", "--", "nodekit", "pipeline", "rscripts", "tests", "Snakefile", "uv.lock")
    commit = git("rev-parse", "--short=10", "HEAD") + (" and changes" if changed else "")
    row = dict(
        zip(COLUMNS, (check, tried, lost, figure, command, commit, f"{datetime.now(UTC):%Y-%m-%d}"), strict=True)
    )
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("a+", encoding="utf-8", newline="") as file:
        import fcntl  # Windows, where the library is tested too, has none

        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        rows = [row if kept["check"] == check else kept for kept in csv.DictReader(file)]
        file.truncate(0)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows if row in rows else [*rows, row])


def git(*arguments: str) -> str:
    """What git says of this checkout."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
