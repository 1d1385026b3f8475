"""The training loop: the same for every experiment."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.functional import one_hot

from nodekit.errors import SolveFailed
from pipeline.data import ImageSplits
from pipeline.files import replacing, write_csv
from pipeline.models import build
from pipeline.runs import checkpoint as checkpoints
from pipeline.runs.devices import launch, make_fabric, prepare, share
from pipeline.runs.errors import TrainingError
from pipeline.runs.memory import peak_memory
from pipeline.runs.progress import LINE_SECONDS, Progress
from pipeline.runs.reproducible import permutation, reproducible, stream_seed
from pipeline.runs.stopwatch import share_of
from pipeline.study import Run
from pipeline.train.augmentation import Augmentation
from pipeline.train.objectives import OBJECTIVES
from pipeline.train.tables import Record, Source, history_table, losses_table, metrics_table, timing_table

log = logging.getLogger(__name__)


def train(
    run: Run,
    splits: ImageSplits,
    output: Path,
    checkpoint: Path,
    device: str = "auto",
    precision: str = "32-true",
    checkpoint_seconds: float = 30,
    progress: bool = True,
) -> None:
    """Train the run's model and write history.csv, metrics.csv, losses.csv, timing.csv and model.pt.

    run: the resolved settings of one variant and seed. splits: its images.
    output: the folder to write to, each file whole or not at all, and only when the training is complete.
    checkpoint: the file to go on from, when there is one, and to keep at least every `checkpoint_seconds` and at the
        end of every epoch. On a CPU a run that was killed and went on writes the same bytes as an undisturbed one
        (timing.csv excepted). It is removed at the end.
    device: "cpu", "cuda", or "auto": GPUs where there are; the settings say how many share every batch. precision:
        Lightning Fabric's name.
    progress: whether to show a bar where standard error is a terminal.
    Raises `TrainingError` when the loss is no longer a number, a solve fails or a file cannot be written, and
    `ConfigurationError` for settings that do not fit.
    """
    fabric = make_fabric(device, run.settings.devices, precision)
    launch(fabric, train_on, run, splits, output, checkpoint, precision, checkpoint_seconds, progress)


def train_on(
    fabric: Fabric,
    run: Run,
    splits: ImageSplits,
    output: Path,
    checkpoint: Path,
    precision: str,
    checkpoint_seconds: float,
    progress: bool,
) -> None:
    """What `train` does in the process of one of the devices; the first one tells and writes."""
    if not fabric.is_global_zero:
        logging.disable()
    with reproducible(run.seed, run.settings.threads):
        training = Training(fabric, run, splits, checkpoint, precision, checkpoint_seconds)
        try:
            training.complete(output, progress and fabric.is_global_zero)
        except OSError as error:
            raise TrainingError(
                f"{training.title}: cannot write to {error.filename or output} or {checkpoint} ({error.strerror}). "
                "Make room or change the profile's 'results'; started again, the run goes on from its last checkpoint"
            ) from error


class Training:
    """One run's model, optimizer, images and record: the same on each of its devices."""

    def __init__(
        self,
        fabric: Fabric,
        run: Run,
        splits: ImageSplits,
        checkpoint: Path,
        precision: str,
        checkpoint_seconds: float,
    ):
        self.fabric, self.several = fabric, fabric.world_size > 1
        self.run, self.settings = run, run.settings
        self.title = f"{run.experiment} {run.variant} seed {run.seed}"
        self.source = Source(splits.data_source, splits.origin)
        self.checkpoint, self.checkpoint_seconds = checkpoint, checkpoint_seconds
        self.fingerprint = checkpoints.fingerprint(run, splits.data_source, precision)
        images, size = len(splits.train_images), self.settings.batch_size
        self.batches = math.ceil(images / size)
        network = build(self.settings.model, self.settings.solver)
        self.network = prepare(network, self.settings.solver, fabric, images - (self.batches - 1) * size)
        chosen = self.settings.optimizer
        self.optimizer = getattr(torch.optim, chosen.name)(self.network.parameters(), **chosen.arguments)
        schedule = self.settings.schedule
        self.scheduler = schedule and getattr(torch.optim.lr_scheduler, schedule.name)(
            self.optimizer, **schedule.arguments
        )
        self.augmentation = Augmentation(self.settings.augmentation, run.seed)
        self.model, self.fabric_optimizer = self.fabric.setup(self.network, self.optimizer)
        self.ode_blocks = [module for module in self.network.modules() if hasattr(module, "nfe_forward")]
        self.objective = OBJECTIVES[self.settings.loss]
        self.train_images, self.test_images = map(self.on_device, (splits.train_images, splits.test_images))
        self.train_labels, self.test_labels = map(self.on_device, (splits.train_labels, splits.test_labels))
        self.classes = splits.classes
        self.record = Record()
        self.pending: list[Tensor] = []
        self.saved = time.monotonic()

    def on_device(self, array) -> Tensor:
        """A NumPy array as a tensor on the run's device."""
        return torch.from_numpy(array).to(self.fabric.device)

    def complete(self, output: Path, progress: bool) -> None:
        """Train from wherever the run stands to its end, and write its tables."""
        self.describe()
        self.restore()
        images, record = len(self.train_images), self.record
        done = (record.epoch - 1) * images + min(record.batch * self.settings.batch_size, images)
        with Progress(self.title, self.settings.epochs * images, done, progress, log) as self.progress:
            while self.record.epoch <= self.settings.epochs:
                self.train_epoch()
                self.test_epoch()
                self.save()
        self.write(output)
        self.fabric.barrier()  # none ends before the first has written

    def describe(self) -> None:
        """Say in the log what is about to be trained, on what."""
        log.info(
            "%s: %s on %d images, tested on %d (%s%s); %s, %d threads, %s",
            self.title,
            self.settings.model.name,
            len(self.train_images),
            len(self.test_images),
            self.source.words,
            f"; {self.run.reduced}" if self.run.reduced else "",
            self.device_name,
            self.settings.threads,
            f"{sum(parameter.numel() for parameter in self.network.parameters())} parameters",
        )

    def train_epoch(self) -> None:
        """What is left of the epoch's batches."""
        record, size = self.record, self.settings.batch_size
        order = permutation(self.run.seed, record.epoch, len(self.train_images)).to(self.fabric.device)
        self.model.train()
        while record.batch < self.batches:
            begin = time.monotonic()
            chosen = order[record.batch * size : (record.batch + 1) * size]
            images = self.augmentation(self.train_images[chosen], record.epoch, record.batch)
            if self.several:  # each draws its own, and anew for every batch: no checkpoint has to hold their states
                torch.manual_seed(
                    stream_seed(self.run.seed, "device", record.epoch, record.batch, self.fabric.global_rank)
                )
            self.train_batch(images, self.train_labels[chosen])
            record.batch += 1
            self.progress.advance(len(chosen))
            if self.progress.due:
                self.collect()
                place = f"epoch {record.epoch}/{self.settings.epochs}, batch {record.batch}/{self.batches}"
                self.progress.show(place, record.losses[-1])
            record.seconds += time.monotonic() - begin
            if time.monotonic() - self.saved >= self.checkpoint_seconds:
                self.save()

    def train_batch(self, images: Tensor, labels: Tensor) -> None:
        """One step of the optimizer, each device taking its share of the batch."""
        count = len(labels)
        images, labels = share(images, self.fabric), share(labels, self.fabric)
        part = len(labels) / count
        self.fabric_optimizer.zero_grad()
        try:
            logits = self.model(images)
            loss = self.objective.loss(logits, labels)
            # The strategy takes the mean of the devices' gradients, whose shares may differ by an image.
            self.fabric.backward(loss * (part * self.fabric.world_size))
        except SolveFailed as error:
            self.collect()
            self.fail(str(error))
        self.fabric_optimizer.step()
        # Read later, many at once, and filled there: reading a number waits for the GPU, and so does sending one.
        evaluations = [[block.nfe_forward, block.nfe_backward] for block in self.ode_blocks] or [[0, 0]]
        nfe = [
            labels.new_full((), part * sum(counts), dtype=torch.float64) for counts in zip(*evaluations, strict=True)
        ]
        seen = torch.stack((loss.detach().double() * part, self.count_correct(logits, labels).double(), *nfe))
        self.pending.append(self.fabric.all_reduce(seen, reduce_op="sum"))

    def count_correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many of a batch the logits classify rightly."""
        return (self.objective.predict(logits.detach()) == labels).sum()

    def collect(self) -> None:
        """Take the pending losses into the record; the first that is not finite ends the run."""
        if not self.pending:
            return
        for loss, correct, nfe_forward, nfe_backward in torch.stack(self.pending).tolist():
            if not math.isfinite(loss):
                self.fail(f"the loss is {loss}")
            self.record.losses.append(loss)
            self.record.correct += int(correct)
            self.record.nfe_forward += nfe_forward
            self.record.nfe_backward += nfe_backward
        self.pending.clear()

    def fail(self, reason: str) -> None:
        """Raise a TrainingError that says where the run stands and what to try."""
        solver = ", the solver's step size or tolerances" if self.settings.solver else ""
        raise TrainingError(
            f"{self.title}, epoch {self.record.epoch}, iteration {len(self.record.losses)}: {reason}. "
            f"Try a smaller learning rate (now {self.learning_rate}){solver} or another precision, in the profile's "
            f"overrides of {self.run.experiment}; and see that the data ({self.source.words}) are what they should be"
        )

    def test_epoch(self) -> None:
        """Close the epoch: test the model and take its row into the history."""
        self.collect()
        record, images, size = self.record, len(self.train_images), self.settings.batch_size
        losses = record.losses[-self.batches :]
        weights = [min(size, images - batch * size) for batch in range(self.batches)]
        try:
            test_loss, test_accuracy, most_predicted = self.test(self.test_images, self.test_labels)
            train_accuracy = 100 * record.correct / images
            if self.settings.train_accuracy == "after the epoch":
                train_accuracy = self.test(self.train_images, self.train_labels)[1]
        except SolveFailed as error:
            self.fail(str(error))
        record.history.append(
            {
                "train_loss": sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / images,
                "train_accuracy": train_accuracy,
                "test_loss": test_loss,
                "test_accuracy": test_accuracy,
                "most_predicted": most_predicted,
                "nfe_forward": record.nfe_forward / self.batches if self.ode_blocks else None,
                "nfe_backward": record.nfe_backward / self.batches if self.ode_blocks else None,
                "learning_rate": self.learning_rate,
            }
        )
        # Short epochs go to the run's file alone, or a hundred lines of them would fill the screen.
        worth_showing = record.seconds >= LINE_SECONDS or record.epoch == self.settings.epochs
        log.log(
            logging.INFO if worth_showing else logging.DEBUG,
            "%s: epoch %d/%d took %.1f s; train loss %.4f, accuracy %.2f%%; test loss %.4f, accuracy %.2f%%",
            self.title,
            record.epoch,
            self.settings.epochs,
            record.seconds,
            record.history[-1]["train_loss"],
            record.history[-1]["train_accuracy"],
            test_loss,
            test_accuracy,
        )
        if self.scheduler:
            self.scheduler.step()
        record.next_epoch()

    @torch.no_grad()
    def test(self, images: Tensor, labels: Tensor) -> tuple[float, float, float]:
        """Mean loss, and in percent accuracy and the share of the class predicted most, over some images."""
        self.model.eval()
        size = self.settings.test_batch_size
        batches = list(zip(images.split(size), labels.split(size), strict=True))
        results = torch.zeros(len(batches), 2 + len(self.classes), dtype=torch.float64, device=self.fabric.device)
        for batch in range(self.fabric.global_rank, len(batches), self.fabric.world_size):
            some, theirs = batches[batch]
            logits = self.model(some)
            results[batch, 0] = self.objective.loss(logits, theirs).double() * len(theirs)
            results[batch, 1] = self.count_correct(logits, theirs)
            # Not bincount, which waits for the GPU: it asks for the largest.
            results[batch, 2:] = one_hot(self.objective.predict(logits), len(self.classes)).sum(dim=0)
        loss, correct, *predicted = self.fabric.all_reduce(results, reduce_op="sum").sum(dim=0).tolist()
        return loss / len(images), 100 * correct / len(images), 100 * max(predicted) / len(images)

    @property
    def learning_rate(self) -> float:
        """The optimizer's learning rate now."""
        return self.optimizer.param_groups[0]["lr"]

    @property
    def device_name(self) -> str:
        """The name of the device or the devices, as a table shows it."""
        name = torch.cuda.get_device_name(self.fabric.device) if self.on_gpu else self.fabric.device.type
        return f"{self.fabric.world_size} × {name}" if self.several else name

    @property
    def on_gpu(self) -> bool:
        """Whether the run's device is a GPU."""
        return self.fabric.device.type == "cuda"

    def save(self) -> None:
        """Write a checkpoint of everything that decides how the run goes on; the first device's clock says when."""
        self.collect()
        if not self.fabric.is_global_zero:
            return
        state = {
            "fingerprint": self.fingerprint,
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else {},
            "precision": self.fabric.strategy.precision.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.on_gpu else [],
            "record": asdict(self.record),
        }
        checkpoints.save(state, self.checkpoint)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on from the last checkpoint, when there is one of this very run."""
        state = checkpoints.load(self.checkpoint, self.fingerprint, log) if self.fabric.is_global_zero else None
        state = self.fabric.broadcast(state)
        if state is None:
            return
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        torch.set_rng_state(state["random"])
        if self.on_gpu and len(state["random_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        self.record = Record(**state["record"])
        log.info("%s: goes on from epoch %d, batch %d", self.title, self.record.epoch, self.record.batch)

    def differentiate_first_batch(self) -> None:
        """The passes of a training step forward and backward, which leave the weights as they are."""
        size = self.settings.batch_size
        images, labels = (share(part[:size], self.fabric) for part in (self.train_images, self.train_labels))
        self.fabric_optimizer.zero_grad()
        self.fabric.backward(self.objective.loss(self.model(images), labels))

    def write(self, output: Path) -> None:
        """The run's tables and its trained model; its checkpoints are needed no more."""
        run, record = self.run, self.record
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        weights = copy.deepcopy(self.network.state_dict())  # what is measured now may move the running statistics
        peak = peak_memory(self.differentiate_first_batch, self.fabric.device) if self.settings.peak_memory else None
        derivative = share_of([block.func for block in self.ode_blocks], self.differentiate_first_batch)
        if not self.fabric.is_global_zero:
            return
        with replacing(output / "model.pt") as temporary:
            torch.save(weights, temporary)
        write_csv(losses_table(run, self.batches, record), output / "losses.csv")
        timing = timing_table(run, record, derivative, self.device_name, self.settings.threads)
        write_csv(timing, output / "timing.csv")
        write_csv(history_table(run, self.source, record), output / "history.csv")
        write_csv(metrics_table(run, self.source, record, parameters, peak), output / "metrics.csv")
        checkpoints.remove(self.checkpoint)
