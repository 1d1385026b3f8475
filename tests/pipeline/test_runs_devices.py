"""Several devices share every batch and come to one device's numbers; here they are processes on the CPU."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from test_runs_checkpoint import tables
from tiny_training import enlarged, tiny_run, tiny_splits, tiny_train
from torch import nn

from nodekit import NeuralODE
from nodekit.errors import NonFiniteDerivative
from pipeline.models import MODELS, build
from pipeline.runs.devices import prepare
from pipeline.study import ConfigurationError, Model, Solver
from pipeline.train import TrainingError, loop


class Derivative(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, t, y):
        return self.linear(y).tanh()


def ode_net(dropout=0.0, **solver):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), NeuralODE(Derivative(), **solver), nn.Dropout(dropout), nn.Linear(8, 2)
    )


@pytest.fixture(autouse=True)
def models(monkeypatch):
    for gradient in ("adjoint", "backprop"):
        network = lambda gradient=gradient: ode_net(method="rk4", options={"step_size": 0.25}, gradient=gradient)  # noqa: E731
        monkeypatch.setitem(MODELS, gradient, network)
    monkeypatch.setitem(MODELS, "adaptive", lambda: ode_net(method="dopri5", rtol=1e-6, atol=1e-6, gradient="adjoint"))
    monkeypatch.setitem(MODELS, "dropout", lambda: ode_net(0.5, method="euler", options={"step_size": 0.5}))


def run_of(model, devices, **settings):
    """Batches of 5 of 22 images: two devices have 3 and 2 of them, and of the last batch one each."""
    return tiny_run(model={"name": model}, devices=devices, batch_size=5, **settings)


@pytest.mark.parametrize(("model", "rtol"), [("adjoint", 1e-5), ("backprop", 1e-5), ("adaptive", 1e-3)])
def test_two_devices_train_as_one(tmp_path, model, rtol):
    one, two = (tiny_train(tmp_path / str(count), run=run_of(model, count)) for count in (1, 2))
    losses = [pd.read_csv(folder / "losses.csv").loss for folder in (one, two)]
    assert len(losses[0]) == 15
    assert losses[1].to_numpy() == pytest.approx(losses[0].to_numpy(), rel=rtol)
    history = [pd.read_csv(folder / "history.csv") for folder in (one, two)]
    columns = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert history[1][columns].to_numpy() == pytest.approx(history[0][columns].to_numpy(), rel=rtol)
    weights = [torch.load(folder / "model.pt", weights_only=True) for folder in (one, two)]
    torch.testing.assert_close(weights[1], weights[0], rtol=10 * rtol, atol=rtol)
    assert set(pd.read_csv(two / "timing.csv").device) == {"2 × cpu"}
    if model != "adaptive":
        assert history[1].nfe_forward.tolist() == history[0].nfe_forward.tolist() == [16, 16, 16]


def test_a_training_meets_on_a_port_of_its_own(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("MASTER_PORT", port)  # as a cluster's script, or a training before this one, may leave it
        assert (tiny_train(tmp_path / "run", run=run_of("adjoint", 2)) / "model.pt").exists()
        assert os.environ["MASTER_PORT"] == port
    assert not {"MASTER_ADDR", "TORCHELASTIC_USE_AGENT_STORE"} & set(os.environ)


def test_a_device_that_is_lost_costs_time_and_nothing_else(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    original = loop.Training.train_batch

    def killed(self, *batch):
        if self.fabric.global_rank == 1 and (self.record.epoch, self.record.batch) == (2, 3):
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "train_batch", killed)
        with pytest.raises(TrainingError, match=r"one of 2 processes .*SIGKILL.*goes on from its last checkpoint"):
            tiny_train(tmp_path / "run", run=run_of("dropout", 2))
    assert list((tmp_path / "run").iterdir()) == []
    assert (tmp_path / "run.pt").exists()
    undisturbed = tiny_train(tmp_path / "undisturbed", run=run_of("dropout", 2))
    assert tables(tiny_train(tmp_path / "run", run=run_of("dropout", 2))) == tables(undisturbed)
    assert list(tmp_path.glob("*run.pt*")) == []


FOR_EVER = """
import signal
from pathlib import Path
from tiny_training import MODELS, nn, tiny_run, tiny_train
signal.signal(signal.SIGINT, signal.SIG_IGN)
MODELS["plain"] = lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
tiny_train(Path("run"), run=tiny_run(model={"name": "plain"}, devices=2, epochs=10**6))
"""


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    path = os.pathsep.join([os.getcwd(), str(Path(__file__).parent)])
    started = subprocess.Popen([sys.executable, "-c", FOR_EVER], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path})
    deadline = time.monotonic() + 300
    while not (tmp_path / "run.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    assert len(children) == 2
    started.kill()
    started.wait()
    while any(map(runs, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(runs, children))


def runs(process):
    """Whether a process is there, and not only waits for being reaped."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_solve_that_fails_on_one_device_ends_all_with_its_word(tmp_path, monkeypatch):
    def fail(self, images):
        if len(images) == 2:  # what the second device has of the first batch
            raise NonFiniteDerivative("the derivative is not finite", remedy="Take smaller steps", t=0.5)
        return images.flatten(1)

    monkeypatch.setattr(nn.Flatten, "forward", fail)
    with pytest.raises(TrainingError, match=r"^T1 tiny seed 1, epoch 1, iteration 0: the derivative .*smaller steps"):
        tiny_train(tmp_path / "run", run=run_of("adjoint", 2))


def test_the_word_of_the_process_that_failed_is_heard_before_those_that_lost_it(tmp_path, monkeypatch):
    def lost(self, *batch):
        if self.fabric.global_rank == 0:
            raise RuntimeError("Connection closed by peer")
        time.sleep(1)
        raise TrainingError("the culprit's word")

    monkeypatch.setattr(loop.Training, "train_batch", lost)
    with pytest.raises(TrainingError, match=r"^the culprit's word"):
        tiny_train(tmp_path / "run", run=run_of("adjoint", 2))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (run_of("tiny", 2), "normalises batches over several devices on GPUs only; set it to 1"),
        (run_of("adjoint", 3), "devices: 3, but the smallest batch has 2 images; take fewer"),
    ],
    ids=["normalisation", "batch"],
)
def test_what_devices_cannot_share_is_refused(tmp_path, run, words):
    with pytest.raises(ConfigurationError, match=words):
        tiny_train(tmp_path / "run", run=run)


GPUS = SimpleNamespace(world_size=2, device=torch.device("cuda"))
ODE_NET = Model(name="shapes_odenet", arguments={"filters": 4, "classes": 2})


def test_on_gpus_batches_are_normalised_over_all_devices():
    solver = Solver(method="euler", step_size=0.25)
    network = build(ODE_NET, solver)
    before, parameters = network.state_dict(), dict(network.named_parameters())
    prepared = prepare(network, solver, GPUS, smallest_batch=2)
    norms = [part for part in prepared.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 5
    assert all(isinstance(part, nn.SyncBatchNorm) for part in norms)
    torch.testing.assert_close(prepared.state_dict(), before, rtol=0, atol=0)
    assert all(parameter is parameters[name] for name, parameter in prepared.named_parameters())


@pytest.mark.parametrize("method", ["dopri5", "trapezoid"])
def test_evaluations_that_differ_would_wait_for_each_other_and_are_refused(method):
    solver = Solver(method=method, step_size=None if method == "dopri5" else 0.25)
    with pytest.raises(ConfigurationError, match=f"'{method}' would choose evaluations of its own"):
        prepare(build(ODE_NET, solver), solver, GPUS, smallest_batch=2)


COMMAND = 'make test OPTIONS="-n0 --record-trust tests/pipeline/test_runs_devices.py"'


@pytest.mark.parametrize(
    ("device", "allowed"),
    [("cpu", 0), pytest.param("cuda", 1e-2, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))],
)
def test_the_same_seed_repeats_on_a_cpu_and_its_spread_on_a_gpu_is_measured(tmp_path, trust, device, allowed):
    solver = {"method": "euler", "step_size": 0.25}
    run = tiny_run(model=ODE_NET.model_dump(), solver=solver, optimizer={"name": "SGD", "arguments": {"lr": 0.01}})
    with trust(f"the same seed trained again ({device})", COMMAND) as count:
        folders = [tmp_path / str(count) for count in range(5)]
        for folder in folders:
            tiny_train(folder, run=run, splits=enlarged(tiny_splits(), 12), device=device, checkpoint_seconds=1000)
        losses = [pd.read_csv(folder / "losses.csv").loss for folder in folders]
        count.tried = len(losses)
        spread = max((again - losses[0]).abs().div(losses[0]).max() for again in losses)
        count.figure = f"largest relative difference of a loss {spread:.1g}"
        assert spread <= allowed
