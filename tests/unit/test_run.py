"""What an attempt reports and in which order, and how it counts its time, without servers."""

import time
from types import SimpleNamespace

from job.coordination.attempt import UNJUDGED
from job.patience import Patience
from job.work.context import Assignment, Context


class Slow:
    """An attempt with slow reports, which keeps their order; a real database would not show it."""

    number = 1

    def __init__(self):
        self.reported = []

    def report(self, epoch, metrics, value, rule=UNJUDGED):
        """Record the epoch, late unless a pruner judges it."""
        time.sleep(0 if rule["pruner"] else 0.1)
        self.reported.append(epoch)
        return False


def test_a_pruner_sees_the_epochs_before():
    """An epoch that a pruner judges is reported after those before it, sent in the background."""
    attempt = Slow()
    places = {"registered": None, "store": None, "cache": None}
    context = Context(attempt, **places, checkpoint_s=60, patience=Patience(0))
    for epoch, pruner in enumerate([None, None, "median"]):
        context.report(epoch, {}, 0.5, UNJUDGED | {"pruner": pruner})
    assert attempt.reported == [0, 1, 2]


def test_a_part_within_another_counts_for_itself_alone():
    """Validation within the training is no time of training, and parts add up to the whole."""
    attempt = SimpleNamespace(seconds={"evaluate": 1.0})
    assignment = Assignment(attempt, registered=None, store=None, cache=None)
    began = time.monotonic()
    with assignment.clock("train"):
        for _ in range(2):
            time.sleep(0.02)
            with assignment.clock("evaluate"):
                time.sleep(0.1)
    took = time.monotonic() - began
    seconds = attempt.seconds
    assert seconds["evaluate"] >= 1.2
    assert seconds["train"] >= 0.04
    assert sum(seconds.values()) - 1.0 <= took + 0.005
