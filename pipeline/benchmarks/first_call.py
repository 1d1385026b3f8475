"""How long a new process waits for its first compiled result, where the compiler's caches are filled or empty."""

from __future__ import annotations

import tempfile

import pandas as pd

from pipeline.benchmarks.small import tidy
from pipeline.benchmarks.table import Measured
from pipeline.benchmarks.timing import printed_by

# What the call needs is there before the clock starts, except the compiler, which the call itself imports.
PROGRAM = """
import time, torch, nodekit
from pipeline.benchmarks.peers import Mlp
module, y, t = Mlp(), torch.randn(64, 4), torch.tensor([0.0, 100.0])
began = time.perf_counter()
result = nodekit.odeint(module, y, t, rtol=1e-6, atol=1e-6, method="dopri5", compile={compiled}).square().mean()
if {gradient}:
    result.backward()
print(time.perf_counter() - began)
"""


def measure(repeats: int = 5) -> tuple[dict[str, Measured], pd.DataFrame]:
    """The goals of the first compiled result: seconds from the call on, beside those of a call that compiles nothing.

    Args:
        repeats: processes that find the caches filled; one finds them empty.
    """
    found, samples = {}, []
    for name in ("forward", "gradient"):
        with tempfile.TemporaryDirectory() as caches:
            cold = seconds(name, True, caches)
            rounds = [(seconds(name, True, caches), seconds(name, False, caches)) for _ in range(repeats)]
        times = pd.DataFrame(rounds, columns=["nodekit, compiled", "nodekit"])
        own, eager = times.median()
        found[f"first_{name}"] = Measured(value=own, own=own, peer=eager)
        found[f"first_{name}_cold"] = Measured(value=cold, own=cold, peer=eager)
        samples.append(tidy(times, f"First {name} of a new process"))
    return found, pd.concat(samples)


def seconds(name: str, compiled: bool, caches: str) -> float:
    """Of the first call of a new process.

    Args:
        name: forward, or gradient: with the backward pass.
        caches: the folder of the compiler's.
    """
    program = PROGRAM.format(compiled=compiled, gradient=name == "gradient")
    return float(printed_by(["-c", program], TORCHINDUCTOR_CACHE_DIR=caches))
