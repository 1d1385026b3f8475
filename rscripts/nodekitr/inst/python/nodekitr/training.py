"""Training in slices of time: R shows the progress between the slices and runs nowhere else."""

import copy
import math
import time

import torch

from nodekit.errors import SolveFailed

from .interrupts import as_exceptions

#: an epoch's loss, in units of the first one's or of 1, at which training has diverged
_DIVERGED = 100.0


class Training:
    """Adam with a learning rate that falls along half a cosine to a hundredth, gradients clipped to norm 1.

    Training that diverges - a solve fails, the loss is not finite, or an epoch's is a hundred times the first one's -
    ends, with the weights with which the best epoch began.

    Args:
        model: module with a counter `nfe` of derivative evaluations.
        loss: batch → mean loss (a tensor), and how much it weighs.
        batches: generator → the batches of one epoch, in the order of that epoch.
        batches_per_epoch, epochs: how many.
        learning_rate: at the start.
        seed: of the order of the batches.
        validate: → the loss of what is not trained on, after each epoch; training then keeps the best epoch's weights.
        patience: epochs without a better one after which training ends, or None.
    """

    def __init__(self, model, loss, batches, *, batches_per_epoch, epochs, learning_rate, seed, validate=None,
                 patience=None):  # fmt: skip
        self.model, self.loss, self.batches_per_epoch, self.epochs = model, loss, batches_per_epoch, epochs
        self.optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
        steps = batches_per_epoch * epochs
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps, eta_min=learning_rate / 100)
        generator = torch.Generator().manual_seed(seed)
        self.stream = (
            (epoch, index, batch) for epoch in range(1, epochs + 1) for index, batch in enumerate(batches(generator), 1)
        )
        self.validate, self.patience, self.since_best, self.stopped = validate, patience, 0, False
        self.done, self.diverged = 0, None
        self.best_loss, self.best, self.best_epoch, self.begun = math.inf, None, None, None
        self.losses, self.history, self.sums = [], [], torch.zeros(4, dtype=torch.float64)

    def advance(self, seconds):
        """Train for about so long, or until an interrupt; return what has been done in all."""
        interrupted = False
        try:
            with as_exceptions():
                self._advance(seconds)
        except KeyboardInterrupt:
            interrupted = True
        return {
            "batches": self.done,
            "loss": self.losses[-1] if self.losses else None,
            "diverged": self.diverged,
            "stopped": self.stopped,
            "interrupted": interrupted,
        }

    def _advance(self, seconds):
        end = time.monotonic() + seconds
        self.model.train()
        for epoch, index, batch in self.stream:
            if index == 1:
                self.begun = copy.deepcopy(self.model.state_dict())
            try:
                self._learn(batch)
            except (SolveFailed, FloatingPointError) as error:
                if self.done == 0:
                    raise
                self._end(getattr(error, "message", str(error)))
                break
            if index == self.batches_per_epoch:
                self._close_epoch(epoch)
            if self.diverged or self.stopped or time.monotonic() >= end:
                break

    def _close_epoch(self, epoch):
        loss, forward, backward = (self.sums[:3] / self.sums[3]).tolist()
        apart = self._validation() if self.validate else None
        self.history.append((epoch, loss, forward, backward, *([apart] if self.validate else [])))
        self.sums.zero_()
        if loss > _DIVERGED * max(self.history[0][1], 1.0):  # 1 is what a constant would have
            self._end(f"the loss of epoch {epoch} is {loss:.3g}, that of the first was {self.history[0][1]:.3g}.")
        elif self.validate:
            self.since_best += 1
            if apart < self.best_loss:
                self.best_loss, self.best, self.since_best = apart, copy.deepcopy(self.model.state_dict()), 0
                self.best_epoch = epoch
            self.stopped = self.patience is not None and self.since_best >= self.patience
        elif loss < self.best_loss:
            self.best_loss, self.best, self.best_epoch = loss, self.begun, epoch

    def _validation(self):
        self.model.eval()
        try:
            with torch.no_grad():
                loss = self.validate()
        except SolveFailed:
            loss = math.inf
        self.model.train()
        return loss if math.isfinite(loss) else math.inf

    def finish(self):
        """Where there is a loss of validation: the weights of the epoch at which it was least."""
        if self.validate and self.best:
            self.model.load_state_dict(self.best)

    def _end(self, reason):
        self.diverged = reason.rstrip(".") + "."
        self.model.load_state_dict(self.best or self.begun)

    def _learn(self, batch):
        self.optimizer.zero_grad()
        self.model.nfe = 0
        loss, weight = self.loss(batch)
        forward, self.model.nfe = self.model.nfe, 0
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the loss is {loss.item()}. Check the data.")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        getattr(self.model, "stay_within_bounds", lambda: None)()
        self.schedule.step()
        self.done += 1
        self.losses.append(loss.item())
        self.sums += weight * torch.tensor([loss.item(), forward, self.model.nfe, 1.0], dtype=torch.float64)

    def table(self):
        """Columns of the history by epoch; `kept` says whose weights the model has."""
        if not self.history and self.sums[3] > 0:  # it ended within the first epoch
            self._close_epoch(1)
        names = ("epoch", "loss", "nfe_forward", "nfe_backward", "validation")
        columns = {name: list(column) for name, column in zip(names, zip(*self.history, strict=True), strict=False)}
        kept = self.best_epoch if self.diverged or self.validate else None
        return columns | {"kept": [epoch == (kept or columns["epoch"][-1]) for epoch in columns["epoch"]]}


def weights(model):
    """Parameters and buffers as arrays, by name."""
    return {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}


def load_weights(model, arrays):
    """Put back what `weights` gave."""
    state = {
        name: torch.tensor(arrays[name], dtype=value.dtype).reshape(value.shape)
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def parameter_names(model):
    """Names of those that were trained, buffers left out."""
    return [name for name, _ in model.named_parameters()]
