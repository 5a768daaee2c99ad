"""The repeats of a trial: trainings one after the other, scored as one on all they leave out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from job.learning.checkpoint import Snapshot
from job.learning.interface import FROM_NOTHING, Hooks, Outcome, Start, metrics_of

# Train one repeat by its number from 0: where it starts, its hooks, perhaps a snapshot of it.
Train = Callable[[int, Start, Hooks, Snapshot | None], Outcome]

log = logging.getLogger(__name__)


@dataclass
class _Earlier:
    """The repeats before the current one.

    Attributes:
        history: their epochs.
        step: how many steps they trained.
        probabilities: of the rows each one left out, float32 [n, k].
    """

    history: list[dict] = field(default_factory=list)
    step: int = 0
    probabilities: list[np.ndarray] = field(default_factory=list)

    def and_then(self, outcome: Outcome) -> "_Earlier":
        """Return these repeats and one more."""
        if outcome.probabilities is None:
            raise ValueError("a repeat has to be scored")
        return _Earlier(
            [*self.history, *outcome.history],
            outcome.step,
            [*self.probabilities, outcome.probabilities],
        )

    def snapshot(self, own: Snapshot) -> Snapshot:
        """Return a snapshot of the current repeat with the earlier ones."""
        if not self.probabilities:
            return own
        arrays, state = own
        repeats = len(self.probabilities)
        earlier = {"history": self.history, "step": self.step, "repeats": repeats}
        return [*arrays, *self.probabilities], {**state, "earlier": earlier}


def _split(snapshot: Snapshot | None) -> tuple[_Earlier, Snapshot | None]:
    """Return what `_Earlier.snapshot` joined."""
    if snapshot is None or "earlier" not in snapshot[1]:
        return _Earlier(), snapshot
    arrays, state = snapshot
    earlier = state["earlier"]
    first = len(arrays) - earlier["repeats"]
    past = _Earlier(earlier["history"], earlier["step"], arrays[first:])
    own = {name: value for name, value in state.items() if name != "earlier"}
    return past, (arrays[:first], own)


def train_repeats(
    train_one: Train, labels: Sequence[np.ndarray], hooks: Hooks, snapshot: Snapshot | None
) -> Outcome:
    """Train one repeat after the other, and return them as one training.

    Epochs and steps count on from one to the next. The value after an epoch is the score of all
    rows predicted so far: those that earlier repeats left out, and those of this one.

    Args:
        train_one: trains one repeat.
        labels: of the rows that each repeat leaves out, int64 [n]; one repeat may have none.
        hooks: of the whole.
        snapshot: of the whole, to resume from.

    Returns:
        The outcome of the whole; its probabilities are those of the repeats, one after the other.

    Raises:
        Exception: whatever `train_one` or a hook raises.
    """
    if len(labels) == 1:
        return train_one(0, FROM_NOTHING, hooks, snapshot)
    earlier, own = _split(snapshot)
    steps_s = 0.0
    waited_s = 0.0
    for past in earlier.history:
        hooks.report(past["epoch"], metrics_of(past), past.get("value"))
    while True:
        number = len(earlier.probabilities)
        log.info("repeat %d of %d", number + 1, len(labels))
        start = Start(len(earlier.history), earlier.step)
        outcome = train_one(number, start, _within(hooks, earlier, labels), own)
        earlier = earlier.and_then(outcome)
        own = None
        steps_s += outcome.steps_s
        waited_s += outcome.waited_s
        if outcome.pruned_at is not None or number + 1 == len(labels):
            probabilities = np.concatenate(earlier.probabilities)
            return replace(
                outcome,
                history=earlier.history,
                probabilities=probabilities,
                steps_s=steps_s,
                waited_s=waited_s,
            )


def _within(hooks: Hooks, earlier: _Earlier, labels: Sequence[np.ndarray]) -> Hooks:
    """Return the hooks of a repeat, which save and score it together with the earlier ones."""
    of_earlier = labels[: len(earlier.probabilities)]
    score = hooks.score

    def offer(take: Callable[[], Snapshot]) -> None:
        hooks.offer(lambda: earlier.snapshot(take()))

    def pooled(own: np.ndarray, probabilities: np.ndarray) -> float:
        if score is None:
            raise TypeError("repeats need hooks.score")
        return score(
            np.concatenate([*of_earlier, own]),
            np.concatenate([*earlier.probabilities, probabilities]),
        )

    return replace(hooks, offer=offer, score=pooled)
