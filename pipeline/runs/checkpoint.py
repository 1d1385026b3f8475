"""Checkpoints: written whole, verified when read, and used only by the run that wrote them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from logging import Logger
from pathlib import Path
from typing import Any

import torch

from pipeline.files import replacing
from pipeline.study import Run

# To be raised when what a checkpoint holds changes, so that none of the former kind is read.
FORMAT = 2
DIGEST_BYTES = hashlib.sha256().digest_size


def fingerprint(run: Run, data_source: str, precision: str) -> str:
    """What a checkpoint must agree on with the run that wants to go on from it, as JSON."""
    settings = run.parameters()["settings"]
    identity = [FORMAT, run.experiment, run.variant, run.seed, settings, data_source, precision]
    return json.dumps(identity, sort_keys=True)


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state`, behind its SHA-256, in place of the checkpoint at `path`, which is kept as `<path>.previous`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.replace(path, previous(path))


def load(path: Path, wanted: str, log: Logger, *, aside: bool = True) -> dict[str, Any] | None:
    """The newest sound checkpoint at `path`, or None: then the run begins anew.

    wanted: the `fingerprint` of the run. A checkpoint with another one is renamed to `<path>.other-settings`; a
    damaged one is passed over for the one before. Both are said in the log.
    aside: whether to rename; otherwise it is passed over, too, for who only looks at a run under way.
    """
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        content = candidate.read_bytes()
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            log.warning("%s is damaged (its SHA-256 differs): it is passed over", candidate)
            continue
        try:
            state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            found = state["fingerprint"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
            log.warning("%s is no checkpoint of ours (%s): it is passed over", candidate, type(error).__name__)
            continue
        if found != wanted and not aside:
            log.warning("%s was made with other settings or data: it is passed over", candidate)
            continue
        if found != wanted:
            other = candidate.with_name(f"{candidate.name}.other-settings")
            os.replace(candidate, other)
            log.warning("%s was made with other settings or data: set aside as %s", candidate, other)
            continue
        return state
    return None


def remove(path: Path) -> None:
    """Remove the checkpoints of a run that is complete, and what a kill in the middle of writing one left."""
    for candidate in (path, previous(path), *path.parent.glob(f".{path.name}.*")):
        candidate.unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_name(f"{path.name}.previous")
