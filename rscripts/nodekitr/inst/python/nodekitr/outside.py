"""What acts on trajectories from outside: covariates that change with time or do not, and events."""

import numpy as np
import torch

import nodekit


class Outside:
    """Covariates and events of trajectories, in the units of the data.

    Args:
        tables: for each trajectory {"times": (n,), "values": (n, c)}; one row: what does not change.
        kind: how the values go on between the times: "linear" or "constant".
        events: for each trajectory {"times": (k,), "factor": (k, d), "added": (k, d)}: y becomes factor · y + added.
    """

    def __init__(self, tables, kind="linear", events=None):
        self.kind = kind
        self.tables = [(np.atleast_1d(t["times"]), np.atleast_2d(t["values"])) for t in tables] if tables else None
        self.events = [
            (np.atleast_1d(e["times"]), np.atleast_2d(e["factor"]), np.atleast_2d(e["added"])) for e in events
        ] if events else None  # fmt: skip

    def along(self, series, starts, until, round_):
        """What acts on some trajectories (b,), each from its start (b,) to `until` (b,) after it.

        Args:
            round_: times since the start → the same, those that agree to rounding being one.

        Returns:
            t → (b, c), the times since the start at which it has a jump or a kink, and the changes: time since the
            start → (factor (b, d), added (b, d)).
        """
        values, breaks = lambda t: torch.zeros(len(series), 0, dtype=torch.float64), []
        if self.tables:
            values, breaks = self._values(series, starts, round_)
        changes = {}
        for i, which in enumerate(series if self.events else []):
            times, factor, added = self.events[which]
            for t, f, a in zip(round_(times - starts[i]), factor, added, strict=True):
                if 0 <= t < until[i]:
                    neither = np.ones((len(series), len(f))), np.zeros((len(series), len(f)))
                    both = changes.setdefault(float(t), neither)
                    both[0][i], both[1][i] = both[0][i] * f, both[1][i] * f + a
        end = max(until)
        changes = {t: tuple(map(torch.tensor, both)) for t, both in sorted(changes.items())}
        return values, [t for t in breaks if 0 < t < end], changes

    def _values(self, series, starts, round_):
        tables = [self.tables[which] for which in series]
        if all(len(times) == 1 for times, _ in tables):
            fixed = torch.tensor(np.concatenate([values for _, values in tables]))
            return lambda t: fixed, []
        longest = max(2, *(len(times) for times, _ in tables))
        at = np.full((len(tables), longest), np.nan)
        values = np.zeros((len(tables), longest, tables[0][1].shape[1]))
        for i, (times, rows) in enumerate(tables):
            if len(times) == 1:
                times, rows = np.array([times[0], times[0] + 1]), np.repeat(rows, 2, 0)
            since = round_(times - starts[i])
            at[i, : len(times)], values[i, : len(times)] = since, rows
        forcing = nodekit.Forcing(at, values, self.kind)
        breaks = forcing.breaks
        return forcing, sorted(set(breaks[~breaks.isnan()].tolist()))
