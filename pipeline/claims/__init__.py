"""Published numbers beside reproduced ones, and the verdict on each."""

from pipeline.claims.claims import (
    Claim,
    clean,
    closing_words,
    evaluate,
    judged_again,
    key_of,
    load_claims,
    reproduced_values,
)

__all__ = [
    "Claim",
    "clean",
    "closing_words",
    "evaluate",
    "judged_again",
    "key_of",
    "load_claims",
    "reproduced_values",
]
