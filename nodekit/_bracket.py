"""Where a function changes its sign, refined between two sides: of one solve, or of every sample at once."""

from __future__ import annotations

from collections.abc import Callable

from ._numbers import Number

#: stands for a value of known sign that is zero but for rounding
_TINY = 1e-37


def bracket_root(n, f: Callable[[Number], Number], low, high, old: Number, tolerance: Number) -> tuple[Number, Number]:
    """A sign change of f, by Chandrupatla's mixture of bisection and inverse quadratic interpolation (1997).

    Args:
        n: the namespace of the numbers, `Floats` or `Tensors`.
        f: has sign `old` just behind low, and another sign, or none, at high.
        low, high: (x, f(x)), the smaller x first; equal ones where nothing is sought.
        tolerance: the final distance between both sides.

    Returns:
        The far side of the change, and the larger of |f| at its two sides. Where f stays zero, that is where it first
        is zero: by bisection, since zeros tell nothing else.
    """
    (a, fa), (b, fb) = high, low
    # A restart on the surface: which side it leaves to is known, the value there is noise.
    fb = n.where(n.sign(fb) != old, old * _TINY, fb)
    c, fc, fraction = b, fb, 0.5
    for _ in range(200):
        going = (abs(b - a) > tolerance) & (fa != 0.0) & (fb != 0.0)
        if not n.any(going):
            break
        x = n.where(going, a + fraction * (b - a), a)
        fx = f(x)
        stays = (n.sign(fx) == old) == (n.sign(fa) == old)  # on the side of a, which b bounds as before
        c, fc = n.where(stays, a, b), n.where(stays, fa, fb)
        b, fb = n.where(stays | n.invert(going), b, a), n.where(stays | n.invert(going), fb, fa)
        a, fa = x, n.where(going, fx, fa)
        fraction = _fraction(n, (a, fa), (b, fb), (c, fc), tolerance)
    changed = n.sign(fa) != old
    (near, at_near), (far, at_far) = ((n.where(changed, x, y), n.where(changed, fx, fy)) for (x, fx), (y, fy) in (
        ((b, fb), (a, fa)), ((a, fa), (b, fb))
    ))  # fmt: skip
    # An isolated zero, as of a smooth f, takes one more look.
    x = far - tolerance
    while n.any(going := (far - near > tolerance) & (x > near) & (x < far)):
        fx = f(n.where(going, x, far))
        before = n.sign(fx) == old
        behind, before = going & n.invert(before), going & before
        near, at_near = n.where(before, x, near), n.where(before, fx, at_near)
        far, at_far = n.where(behind, x, far), n.where(behind, fx, at_far)
        x = near + (far - near) / 2
    return far, n.larger(abs(at_near), abs(at_far))


def _fraction(n, one, two, three, tolerance: Number) -> Number:
    """Where to look next between the first two of three (x, f(x)): by interpolation where that can be trusted."""
    (a, fa), (b, fb), (c, fc) = one, two, three
    apart = (fc != fb) & (fc != fa) & (fb != fa)
    ba, ca, cb = n.where(apart, b - a, 1.0), c - a, n.where(apart, c - b, 1.0)
    fba, fca, fcb = (n.where(apart, difference, 1.0) for difference in (fb - fa, fc - fa, fc - fb))
    xi, phi = -ba / cb, -fba / fcb
    fine = apart & (phi * phi < xi) & ((1 - phi) ** 2 < 1 - xi)
    fraction = n.where(fine, -fa / fba * fc / fcb + ca / ba * fa / fca * fb / fcb, 0.5)
    limit = n.smaller(0.5 * tolerance / n.larger(abs(b - a), tolerance), 0.5)
    return n.clip(fraction, limit, 1 - limit)
