"""The order in which an attempt reports its epochs, without servers."""

import time

from job.coordination.attempt import UNJUDGED
from job.work.context import Context


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
    context = Context(attempt, registered=None, store=None, cache=None, checkpoint_s=60)
    for epoch, pruner in enumerate([None, None, "median"]):
        context.report(epoch, {}, 0.5, UNJUDGED | {"pruner": pruner})
    assert attempt.reported == [0, 1, 2]
