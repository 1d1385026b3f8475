"""P8: states under networks that were never trained, sorted by where they end."""

import numpy as np
import torch

from pipeline.compute.physics import UntrainedNetworks, untrained_network
from pipeline.study import load_study


def test_each_state_has_a_network_of_its_own():
    networks = UntrainedNetworks(5, 2, 0.25, torch.Generator().manual_seed(1))
    h = torch.randn(5, 2)
    slopes = networks(torch.tensor(0.0), h)
    for k in range(5):
        alone = torch.tanh(networks.second[k] @ torch.tanh(networks.first[k] @ h[k])) - 0.25 * h[k]
        torch.testing.assert_close(slopes[k], alone)


def test_every_draw_is_counted_once_and_no_state_leaves_the_square():
    arguments = {"draws": 12, "points": 400, "end": 100.0}
    study = load_study({"profile": "test", "experiments": ["P8"], "overrides": {"P8": {"arguments": arguments}}})
    made = untrained_network(study.run("P8", "main", 1))
    metrics = made["metrics"].set_index("quantity").value
    assert metrics.filter(like="draws that end in").sum() == 12
    # |h_i| grows only while |tanh| > |h_i|/4: never beyond 4.
    assert made["history"][["x", "y"]].abs().to_numpy().max() < 4
    ends = made["history"].groupby("series").tail(1).set_index("end")
    if "the origin" in ends.index:
        assert np.hypot(ends.loc[["the origin"]].x, ends.loc[["the origin"]].y).max() < 0.01
