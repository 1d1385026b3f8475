"""R's `set.seed(seed); sample(1:n, size)`, without R: which records a listing's seed draws.

Of R 3.6 and later: Mersenne Twister, its state filled by a linear congruential generator, and sampling by rejection
(R's sources, src/main/RNG.c and src/main/random.c).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

WORD = 2**32


def r_sample(n: int, size: int, seed: int) -> np.ndarray:
    """`size` of the indices 0…n − 1 without replacement, in the order that R draws them (R's own less one)."""
    numbers = uniform(seed)
    left = list(range(n))
    drawn = []
    for count in range(n, n - size, -1):
        chosen = index_below(count, numbers)
        drawn.append(left[chosen])
        left[chosen] = left[count - 1]
    return np.array(drawn, dtype=np.int64)


def uniform(seed: int) -> Iterator[float]:
    """R's uniform random numbers after `set.seed(seed)`."""
    words = []
    for _ in range(50 + 1 + 624):
        seed = (69069 * seed + 1) % WORD
        words.append(seed)
    # The first word behind the scrambling is R's position in the state, set to its end.
    state = np.random.RandomState()
    state.set_state(("MT19937", np.array(words[51:], dtype=np.uint32), 624))
    while True:
        yield int(state.randint(0, WORD, dtype=np.uint64)) / WORD


def index_below(count: int, numbers: Iterator[float]) -> int:
    """A random index below `count`: as many random bits as it takes, again and again until they are small enough."""
    bits = (count - 1).bit_length()
    while True:
        value = 0
        for _ in range(bits // 16 + 1):
            value = 65536 * value + int(next(numbers) * 65536)
        value %= 2**bits
        if value < count:
            return value
