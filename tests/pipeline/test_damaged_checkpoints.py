"""A checkpoint cut short or with changed bytes is never gone on from: the one before it is."""

import logging

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs import checkpoint as checkpoints

COMMAND = 'make test OPTIONS="-n0 --hypothesis-profile many --record-trust tests/pipeline/test_damaged_checkpoints.py"'
LOG = logging.getLogger("test")


def test_whatever_happens_to_the_newest_checkpoint_the_one_before_is_used(trust, tmp_path):
    path = tmp_path / "seed1.pt"
    for epoch in (1, 2):
        checkpoints.save({"fingerprint": "run", "epoch": epoch, "weights": torch.full((7,), 1.0 * epoch)}, path)
    whole = path.read_bytes()
    assert checkpoints.load(path, "run", LOG)["epoch"] == 2
    with trust("checkpoints cut short or with changed bytes: noticed, and the one before used", COMMAND) as count:

        @given(st.integers(0, len(whole) - 1), st.integers(0, 255))
        def try_one(at, change):
            count.tried += 1
            changed = whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :]
            path.write_bytes(changed if change else whole[:at])
            state = checkpoints.load(path, "run", LOG)
            assert state["epoch"] == 1
            assert torch.equal(state["weights"], torch.ones(7))

        try_one()
