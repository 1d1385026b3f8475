"""The fitting loop of small models: the same for every row, and through kills and restarts."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from nodekit.errors import SolveFailed
from pipeline.runs import checkpoint as checkpoints
from pipeline.runs.progress import Progress
from pipeline.runs.reproducible import stream_seed
from pipeline.study import Optimizer, Run
from pipeline.train import TrainingError

log = logging.getLogger(__name__)

# More losses than this are thinned: no figure shows them.
LOSSES_KEPT = 10_000


@dataclass
class Record:
    """How far a fit has come and what it has seen: plain numbers.

    iteration: steps of the optimizer so far. losses, iterations: of the steps that are kept.
    recent: the sum of the losses since the last row of the history, and their number.
    history: rows by logged iteration. timing: (iteration, seconds since the last row).
    """

    iteration: int = 0
    iterations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    recent: list[float] = field(default_factory=lambda: [0.0, 0])
    history: list[dict[str, float]] = field(default_factory=list)
    timing: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Fitted:
    """A fitted model, its record, and its parameters as they were at the iterations asked for."""

    name: str
    model: nn.Module
    record: Record
    snapshots: dict[int, dict[str, Tensor]]


@dataclass
class Job:
    """One run at work: what it needs to know of the machine, and the fits it made.

    checkpoint: the file that fits go on from, each with its own name behind the stem.
    """

    run: Run
    checkpoint: Path
    device: torch.device
    checkpoint_seconds: float
    progress: bool
    data_source: str = ""
    fits: list[Fitted] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The run, as messages name it."""
        return f"{self.run.experiment} {self.run.variant} seed {self.run.seed}"

    @property
    def arguments(self) -> dict:
        """The row's own settings."""
        return self.run.settings.arguments

    def checkpoint_of(self, name: str) -> Path:
        """Where the fit of that name keeps its checkpoint."""
        return self.checkpoint.with_name(f"{self.checkpoint.stem}-{name}.pt")

    def seed(self, *index: int) -> None:
        """Seed torch for one purpose of the run, so that what was drawn before does not matter."""
        torch.manual_seed(stream_seed(self.run.seed, "global", *index))

    def fit(
        self,
        name: str,
        build: Callable[[], nn.Module],
        loss: Callable[[nn.Module], Tensor],
        *,
        iterations: int,
        optimizer: Optimizer | None = None,
        observe: Callable[[nn.Module], dict[str, float]] | None = None,
        snapshots: Collection[int] = (),
    ) -> Fitted:
        """Minimise a loss, from wherever an earlier process left it.

        name: of the fit within the run. build: makes the model. loss: of the model, a scalar; what it draws from
        torch's global generator depends on seed, fit and iteration alone.
        optimizer: by default that of the run's settings. snapshots: iterations whose parameters are kept.
        observe: what is measured at every `log_every`-th iteration (an argument of the row), 0 and the last included.

        Raises `TrainingError` when the loss is no longer a number or the solver gives up.
        """
        index = len(self.fits) + 1
        self.seed(index)
        fit = _Fit(self, name, index, build().to(self.device), loss, optimizer or self.run.settings.optimizer, observe)
        fit.restore()
        fit.complete(iterations, self.arguments["log_every"], set(snapshots))
        self.fits.append(Fitted(name, fit.model, fit.record, fit.snapshots))
        self.seed(index)
        return self.fits[-1]


class _Fit:
    """One model on its way through its iterations."""

    def __init__(self, job: Job, name: str, index: int, model: nn.Module, loss, chosen: Optimizer, observe):
        self.job, self.name, self.index, self.model, self.loss, self.observe = job, name, index, model, loss, observe
        self.optimizer = getattr(torch.optim, chosen.name)(model.parameters(), **chosen.arguments)
        self.path = job.checkpoint_of(name)
        self.fingerprint = checkpoints.fingerprint(job.run, f"{job.data_source}; {name}", "32-true")
        self.record, self.snapshots = Record(), {}
        self.pending: list[Tensor] = []
        self.saved = time.monotonic()

    def complete(self, iterations: int, log_every: int, snapshots: set[int]) -> None:
        """All iterations that are left; a checkpoint now and then, and at the end."""
        record, title = self.record, f"{self.job.title}, {self.name}"
        stride = math.ceil(iterations / LOSSES_KEPT)
        if record.iteration == iterations:
            return
        with Progress(title, iterations, record.iteration, self.job.progress, log, unit="iteration") as progress:
            while True:
                begin = time.monotonic()
                if record.iteration in snapshots or record.iteration == iterations:
                    self.snapshots[record.iteration] = _copy(self.model)
                last = record.iteration == iterations
                if last or record.iteration % log_every == 0:
                    self.log_row(stride)
                if last:
                    break
                self.step()
                progress.advance(1)
                if progress.due:
                    self.collect(stride)
                    progress.show(f"iteration {record.iteration}/{iterations}", self.latest)
                record.seconds += time.monotonic() - begin
                if time.monotonic() - self.saved >= self.job.checkpoint_seconds:
                    self.save(stride)
        self.save(stride)

    def step(self) -> None:
        """One step of the optimizer."""
        torch.manual_seed(stream_seed(self.job.run.seed, "shuffle", self.index, self.record.iteration))
        self.optimizer.zero_grad()
        try:
            loss = self.loss(self.model)
            loss.backward()
        except SolveFailed as error:
            self.fail(str(error))
        self.optimizer.step()
        # Read later, many at once: reading a number waits for the GPU.
        self.pending.append(loss.detach())
        self.record.iteration += 1

    def collect(self, stride: int) -> None:
        """Take the pending losses into the record; the first that is not finite ends the run."""
        if not self.pending:
            return
        first = self.record.iteration - len(self.pending)
        for iteration, loss in enumerate(torch.stack(self.pending).tolist(), start=first):
            if not math.isfinite(loss):
                self.fail(f"the loss of iteration {iteration} is {loss}")
            self.latest = loss
            self.record.recent = [self.record.recent[0] + loss, self.record.recent[1] + 1]
            if iteration % stride == 0:
                self.record.iterations.append(iteration)
                self.record.losses.append(loss)
        self.pending.clear()

    def log_row(self, stride: int) -> None:
        """A row of the history: the mean loss since the last one, and what is measured."""
        self.collect(stride)
        record, (total, count) = self.record, self.record.recent
        if record.history and record.history[-1]["iteration"] == record.iteration:
            return  # written before the checkpoint that this process goes on from
        mean = total / count if count else None
        self.job.seed(self.index, 1)
        with torch.no_grad():
            measured = self.observe(self.model) if self.observe else {}
        record.history.append({"iteration": record.iteration, "loss": mean, **measured})
        record.timing.append([record.iteration, record.seconds])
        record.recent, record.seconds = [0.0, 0], 0.0

    def fail(self, reason: str) -> None:
        """Raise a TrainingError that says where the run stands and what to try."""
        rate = self.optimizer.param_groups[0]["lr"]
        raise TrainingError(
            f"{self.job.title}, {self.name}, iteration {self.record.iteration}: {reason}. Try a smaller learning rate "
            f"(now {rate}) or smaller steps of the solver, in the profile's overrides of {self.job.run.experiment}"
        )

    def save(self, stride: int) -> None:
        """Write a checkpoint of everything that decides how the fit goes on."""
        self.collect(stride)
        state = {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "record": asdict(self.record),
            "snapshots": self.snapshots,
        }
        checkpoints.save(state, self.path)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on from the last checkpoint, when there is one of this very fit."""
        state = checkpoints.load(self.path, self.fingerprint, log)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.record, self.snapshots = Record(**state["record"]), state["snapshots"]
        log.info("%s, %s: goes on from iteration %d", self.job.title, self.name, self.record.iteration)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
