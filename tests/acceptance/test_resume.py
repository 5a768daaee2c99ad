"""A real net, ended in the middle of its training, is trained on bit for bit."""

import signal

from tests.support.experiments import EPOCHS, TRIAL

# Nets without TensorFlow are ended more often, and elsewhere: tests/faults/test_interrupt.py.
SIGNALS = ((signal.SIGTERM, "interrupted"), (signal.SIGKILL, "vanished"))


def test_a_real_net_is_resumed_bit_for_bit(long_trials, calm_bits):
    """A trial that got TERM, and then KILL, has the bits of an undisturbed one."""
    calm = calm_bits(0)
    for number, _ in SIGNALS:
        long_trials.end_in_the_middle(0, number)
    assert len(long_trials.epochs(0)) < EPOCHS
    child = long_trials.site.start(*TRIAL, 0)
    child.wait(check=0)
    assert "resuming from the checkpoint" in child.text()
    assert long_trials.bits(0) == calm
    outcomes = [attempt["outcome"] for attempt in long_trials.attempts(0)]
    assert outcomes == [*(outcome for _, outcome in SIGNALS), "complete"]
