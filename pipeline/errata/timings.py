"""Published times and numbers of evaluations, and what they imply."""

from __future__ import annotations

from pipeline.errata.finding import Finding


def backward_share(forward: float, backward: float, said: float) -> Finding:
    """The share of backward in forward evaluations that homework measured, beside the half that Chen et al. report."""
    share = backward / forward
    return Finding(abs(share - said) > 0.1, {"NFE-B / NFE-F": share, "said": said})


def adjoint_time(backprop: float, adjoint: float) -> Finding:
    """Seconds an epoch that homework measured with and without the adjoint, for the same solver."""
    numbers = {
        "backprop, s": backprop,
        "adjoint, s": adjoint,
        "adjoint takes more by, %": 100 * (adjoint / backprop - 1),
    }
    return Finding(adjoint > backprop, numbers)


def implied_evaluations(seconds: dict[str, dict[str, float]], images: dict[str, int], steps: dict[str, int]) -> Finding:
    """ulala: how much dearer an epoch of an implicit method was than Euler's with as many steps.

    A step that solves an implicit equation evaluates the network twice at the least. Where the ODE is a share s of an
    epoch, twice the evaluations make the epoch dearer by s: less than nothing is impossible.
    """
    numbers: dict[str, float] = {}
    cheaper = False
    for place, times in seconds.items():
        for method, time in times.items():
            if method != "explicit Euler":
                excess = time / times["explicit Euler"] - 1
                numbers[f"{place}, {method} dearer by, %"] = 100 * excess
                cheaper = cheaper or excess < 0
        numbers[f"{place}, images × steps"] = images[place] * steps[place]
    return Finding(cheaper, numbers)


def gain_in_points(before: float, after: float, said: float) -> Finding:
    """homework task 7: a gain in accuracy as a difference and as a ratio."""
    points, ratio = after - before, 100 * (after / before - 1)
    numbers = {"difference, percentage points": points, "ratio, %": ratio, "said, %": said}
    return Finding(abs(points - said) > 0.5 > abs(ratio - said), numbers)


def two_times(said: float, measured: float) -> Finding:
    """homework: seconds an epoch of one configuration, as task 5 and as task 6 have them."""
    apart = 100 * (said / measured - 1)
    return Finding(abs(apart) > 5, {"task 5, s": said, "task 6, s": measured, "apart by, %": apart})


def rate_of_the_example(example: float, said: float) -> Finding:
    """homework task 7: the learning rate of the program that was trained, and that which is said to have been kept."""
    return Finding(example != said, {"SGD in the program": example, "Adam, kept": said, "quotient": example / said})


def decrease_in_proportion(images: dict[str, int], steps: dict[str, float], whole: str) -> Finding:
    """ulala 3.3 and 6.1: how many times fewer the images and how many times smaller the step."""
    numbers: dict[str, float] = {}
    close = []
    for place in images:
        if place != whole:
            fewer, smaller = images[whole] / images[place], steps[whole] / steps[place]
            numbers |= {f"{place}, images fewer by a factor": fewer, f"{place}, step smaller by a factor": smaller}
            close.append(abs(fewer / smaller - 1) < 0.1)
    return Finding(all(close), numbers)
