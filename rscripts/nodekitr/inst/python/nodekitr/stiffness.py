"""Noticing that a problem is stiff, while an explicit method solves it."""

import torch

from nodekit.errors import SolveFailed

#: evaluations between two looks
_BETWEEN_LOOKS = 3000
#: evaluations ahead that are worth a complaint
_MANY = 60_000
#: -lambda times the mean time gained by an evaluation. Of explicit methods at their bound of stability it is 0.4 to 1
#: (the bound of the real axis over the stages: 3.3 / 6 of dopri5); where accuracy bounds the steps, less.
_BOUNDED = 0.25
_ITERATIONS = 20


class Stiff(SolveFailed):
    """Stability, not accuracy, keeps the steps of an explicit method short, and many are still to take."""


class Watched:
    """A derivative that stops the solve where the problem turns out to be stiff.

    Args:
        func: the derivative on tensors.
        start, end: times of the solve.
        method: its name, for the message.
    """

    def __init__(self, func, start, end, method):
        self.func, self.end, self.method = func, float(end), method
        self.evaluations, self.before, self.active = 0, float(start), True

    def __call__(self, t, y):
        self.evaluations += 1
        if self.active and self.evaluations % _BETWEEN_LOOKS == 0:
            self.look(t, y)
        return self.func(t, y)

    def look(self, t, y):
        """Compare what has been gained since the last look with what is left, and with the fastest decay."""
        now = float(t)
        gained, self.before = abs(now - self.before), now
        left = abs(self.end - now)
        if gained * _MANY >= left * _BETWEEN_LOOKS:
            return
        ahead = left / gained * _BETWEEN_LOOKS if gained > 0 else float("inf")
        if fastest_decay(self.func, t, y) * gained / _BETWEEN_LOOKS > _BOUNDED:
            raise Stiff(
                f"The problem is stiff, and about {ahead:.2g} evaluations are left until t = {self.end:g}: "
                f"stability alone keeps the steps of {self.method!r} short", t=now
            )  # fmt: skip


def fastest_decay(func, t, y):
    """The largest rate at which a small change of y decays, by power iteration with difference quotients; 0 if none."""
    with torch.no_grad():
        slope = func(t, y)
        v = torch.linspace(1.0, 2.0, y.numel(), dtype=y.dtype).reshape(y.shape)
        size = torch.finfo(y.dtype).eps ** 0.5 * max(float(y.norm()), 1e-6)
        rate = 0.0
        for _ in range(_ITERATIONS):
            v = v / v.norm()
            image = (func(t, y + size * v) - slope) / size
            length = float(image.norm())
            if not 0 < length < float("inf"):
                return 0.0
            rate = -float((v * image).sum())
            v = image
    return max(rate, 0.0)
