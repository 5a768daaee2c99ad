# pyright: strict
"""Hyperband's brackets, as Optuna deals trials into them.

Source: Li et al. 2018, "Hyperband"; Li et al. 2020, "A System for Massively Parallel Hyperparameter
Tuning".
"""

import binascii
import math
from itertools import accumulate

REDUCTION_FACTOR = 3


def brackets(least: int, epochs: int, method: int) -> int:
    """Return how many brackets there are: one per rung of `least`, 3 `least`, 9 `least`... epochs.

    Args:
        least: epochs at the first rung.
        epochs: of a whole trial; no rung is above them.
        method: of the experiment. By 1 the number is a logarithm, as in Optuna 5.0, which rounds
            to one too few where epochs are 243 or 59,049 times `least`.
    """
    if method == 1:
        return math.floor(math.log(epochs / least, REDUCTION_FACTOR)) + 1
    count = 0
    while least * REDUCTION_FACTOR**count <= epochs:
        count += 1
    return count


def bracket_of(study: str, trial: int, least: int, epochs: int, method: int) -> int:
    """Return the bracket of a trial, as Optuna assigns it: at random by study and trial number.

    The earlier a bracket's rungs begin, the more trials it gets.
    """
    count = brackets(least, epochs, method)
    shares = [math.ceil(count * REDUCTION_FACTOR**s / (s + 1)) for s in reversed(range(count))]
    drawn = binascii.crc32(f"{study}_{trial}".encode()) % sum(shares)
    return next(bracket for bracket, upto in enumerate(accumulate(shares)) if drawn < upto)


def is_rung(epochs_done: int, bracket: int, least: int, epochs: int, method: int) -> bool:
    """Tell whether the trials of a bracket compete once so many epochs are done."""
    rungs = range(bracket, brackets(least, epochs, method))
    return any(epochs_done == least * REDUCTION_FACTOR**rung for rung in rungs)
