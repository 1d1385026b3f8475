"""How a run logs: everything to its own file; to the screen what is worth a line, where no bar says it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path


def log_to(path: Path | str) -> None:
    """Send what the pipeline logs to the file at `path`, and lines of level INFO to a screen without a bar."""
    console = logging.StreamHandler()
    # On a terminal the progress bar says the rest.
    console.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    handlers = [logging.FileHandler(path, encoding="utf-8"), console]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    logging.getLogger("pipeline").setLevel(logging.DEBUG)
