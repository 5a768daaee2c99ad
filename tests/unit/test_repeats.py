"""The repeats of a trial are one training: its epochs count on, its value is that of all rows."""

import numpy as np
import pytest

from job.errors import Interrupted
from job.learning import checkpoint
from job.learning.interface import Hooks, Outcome, history_row
from job.learning.repeats import train_repeats

EPOCHS = 2
STEPS = 3  # per epoch
LABELS = [np.array([0, 1]), np.array([1, 1, 0]), np.array([0])]


def accuracy(labels, probabilities) -> float:
    """Return the accuracy."""
    return float((probabilities.argmax(1) == labels).mean())


def train_one(number, start, hooks, snapshot) -> Outcome:
    """Walk through the steps of one repeat, whose predictions depend on number and epoch only."""
    state = {"step": start.step, "epoch": start.epoch, "history": []}
    arrays, state = snapshot or ([np.zeros(2)], state)
    step = state["step"]
    history = list(state["history"])
    for past in history:
        hooks.report(past["epoch"], {"loss": past["loss"]}, past["value"])
    for epoch in range(start.epoch + len(history), start.epoch + EPOCHS):
        while step < (epoch + 1) * STEPS:
            step += 1
            own = {"step": step, "epoch": epoch, "history": list(history)}
            hooks.offer(lambda own=own: ([arrays[0] + own["step"]], own))
            hooks.check()
        rng = np.random.default_rng([number, epoch])
        probabilities = rng.dirichlet([1, 1], len(LABELS[number])).astype(np.float32)
        value = hooks.score(LABELS[number], probabilities)
        pruned = hooks.report(epoch, {"loss": 1.0 / step}, value)
        history.append(history_row(epoch, {"loss": 1.0 / step}, value))
        if pruned:
            return Outcome(history, step, epoch, value, probabilities)
    times = {"steps_s": 1.0 + number, "waited_s": 0.25}
    return Outcome(history, step, None, value, probabilities, **times)


class World:
    """A process that is stopped after a step, and the checkpoint that outlives it."""

    def __init__(self, pruned_after: int | None = None):
        self.pruned_after = pruned_after
        self.bundle = None
        self.reported = {}

    def run(self, stop_at: int | None = None) -> Outcome | None:
        """Go on from the checkpoint to the end, or to a step."""
        taken = []

        def check():
            if taken[-1]()[1]["step"] == stop_at:
                raise Interrupted("stopped")

        def report(epoch, metrics, value) -> bool:
            assert self.reported.setdefault(epoch, (metrics, value)) == (metrics, value)
            return epoch == self.pruned_after

        snapshot = checkpoint.unpack(self.bundle) if self.bundle else None
        try:
            return train_repeats(
                train_one, LABELS, Hooks(taken.append, check, report, accuracy), snapshot
            )
        except Interrupted:
            self.bundle = checkpoint.pack(*taken[-1]())
            return None


def test_stopped_at_every_step():
    """However often they are stopped, the repeats have the undisturbed epochs and predictions."""
    calm = World().run()
    world = World()
    for step in range(1, len(LABELS) * EPOCHS * STEPS + 1):
        assert world.run(stop_at=step) is None
        assert checkpoint.unpack(world.bundle)[1]["step"] == step
    again = world.run()
    assert again.step == calm.step == step
    assert again.history == calm.history
    assert [row["epoch"] for row in again.history] == sorted(world.reported) == list(range(6))
    assert again.probabilities.tobytes() == calm.probabilities.tobytes()


def test_the_times_of_all_repeats_count():
    """Steps and waiting of a trial are those of all repeats that this process trained."""
    outcome = World().run()
    assert (outcome.steps_s, outcome.waited_s) == (6.0, 0.75)


def test_the_value_is_that_of_all_rows_left_out_so_far():
    """The last value is the score of all predictions together, not of the last repeat's."""
    outcome = World().run()
    assert len(outcome.probabilities) == 6
    assert outcome.value == accuracy(np.concatenate(LABELS), outcome.probabilities)
    assert outcome.history[-1]["value"] == outcome.value


def test_a_pruned_trial_begins_no_further_repeat():
    """After the second epoch of the second repeat, its predictions are those of two repeats."""
    outcome = World(pruned_after=3).run()
    assert outcome.pruned_at == 3
    assert [row["epoch"] for row in outcome.history] == [0, 1, 2, 3]
    assert len(outcome.probabilities) == 5


@pytest.mark.parametrize("stop_at", [1, 7])
def test_one_training_is_as_it_was(stop_at):
    """A trial without repeats has the checkpoints of the first versions."""
    taken = []

    def check():
        if taken[-1]()[1]["step"] == stop_at:
            raise Interrupted("stopped")

    hooks = Hooks(taken.append, check, score=accuracy)
    if stop_at < EPOCHS * STEPS:
        with pytest.raises(Interrupted):
            train_repeats(train_one, LABELS[:1], hooks, None)
    else:
        train_repeats(train_one, LABELS[:1], hooks, None)
    assert set(taken[-1]()[1]) == {"step", "epoch", "history"}
