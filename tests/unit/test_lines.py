"""`job status` in sentences: estimates name what is unknown; no line has control characters."""

import pytest

from job.cli.status_lines import lines, results_of, span, table
from job.coordination.counts import undecided
from job.coordination.estimate import time_left
from tests.support.status_rows import counts, running, stages, state


def at_work(*seconds: float) -> list[dict]:
    """Return rows of tasks that have been running for so many seconds."""
    return [running(running_s=s) for s in seconds]


TODO = counts(waiting=2)
DONE = counts(complete=2)
BUSY = counts(running=2, complete=1)
TRIAL = {"trial": 10}
BOTH = {"trial": 10, "fold": 30}
NEITHER = ["trial cnn", "fold cnn"]


@pytest.mark.parametrize(
    ("trial", "fold", "mean_s", "alive", "expected"),
    [
        # Nothing is decided: nothing is known.
        (counts(waiting=4), TODO, {}, [], (None, 0, 0, NEITHER)),
        (counts(waiting=3, running=1), TODO, {}, at_work(0.0), (None, 0, 1, NEITHER)),
        # Nothing runs: there is work, but no time.
        (counts(waiting=2, complete=2), TODO, TRIAL, [], (None, 20, 0, ["fold cnn"])),
        # Both are known: the work is divided among the workers.
        (counts(waiting=3, running=1, complete=1), TODO, BOTH, at_work(4), (96, 96, 1, [])),
        # A task that takes longer than the others has no time left, and never a negative one.
        (counts(running=1, complete=1), TODO, BOTH, at_work(99), (60, 60, 1, [])),
        # The end cannot come before the longest task's, however many workers there are.
        (BUSY, DONE, TRIAL, at_work(9, 1), (9, 10, 2, [])),
        # A worker whose lease is over does not work.
        (BUSY, DONE, TRIAL, [running(lease_left_s=-1), *at_work(10)], (10, 10, 1, [])),
        # What can never run, and what is decided, takes no time.
        (counts(pruned=2), TODO, TRIAL, [], (0, 0, 0, [])),
        (DONE, DONE, BOTH, [], (0, 0, 0, [])),
    ],
)
def test_time_left(trial, fold, mean_s, alive, expected):
    """The time left follows from decided tasks and live workers; without them it is None."""
    means = {(stage, "cnn"): seconds for stage, seconds in mean_s.items()}
    left = time_left(stages(trial, fold), means, alive)
    assert (left["left_s"], left["work_s"], left["workers"], left["unknown"]) == expected


def test_lines_have_no_control_characters():
    """Whatever a reason or a host holds, plain lines move no cursor.

    Tasks that failed for one reason share a line.
    """
    text = lines(state(running=[running(host="no\x1b[2Jde")]))
    assert [line for line in text if not line.isprintable()] == []
    assert any("failed: cnn trial 3 and 2 more: 3 attempts in a row" in line for line in text)
    assert "attempts: 2 complete, 9 error, 1 pruned, 1 running, 1 vanished; 10 lost" in text
    assert text[-2] == r"note: 30 images in val\n/ are left out"
    assert text[-1] == (
        "time left: at least about 9 min with 1 at a time, if tasks take as long as earlier ones;"
        " nothing is known yet about fold cnn"
    )


@pytest.mark.parametrize(
    ("trial", "fold", "last"),
    [
        (counts(complete=2), counts(complete=2), "everything is decided"),
        (
            counts(pruned=2),
            counts(waiting=2),
            "everything is decided except 2 tasks that cannot run: an earlier stage failed",
        ),
    ],
)
def test_the_end_is_announced(trial, fold, last):
    """When nothing can be decided any more, the last line says so, and what was left behind."""
    counted = stages(trial, fold)
    ended = state(
        stages=counted,
        undecided=sum(undecided(counted).values()),
        time_left=time_left(counted, {}, []),
        running=[],
        failed=[],
        notes=[],
    )
    assert lines(ended)[-1] == last


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "1 h"),
        (3660, "1 h 1 min"),
        (86400, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds, text):
    """Seconds become words as a person says them, in two units at most."""
    assert span(seconds) == text


def test_a_long_winner_keeps_the_columns_of_the_list():
    """Whatever a cell holds, cells below a heading begin where the heading does."""
    entry = {"name": "small", "id": "small-1", "created": "2026-11-25T20:44:00+00:00"}
    entry |= {"tasks": 7, "decided": 7, "running": 0, "failed": 0}
    best = {"model": "efficientnetv2b0", "value": 0.9402, "by": "fold mean", "won": True}
    head, short, long = table([entry | {"best": None}, entry | {"best": best}])
    assert head.rindex("id") == short.rindex("small-1") == long.rindex("small-1")


def test_a_missing_score_is_a_dash():
    """A best trial or a leader without a value still has a line."""
    best = {"trial": 4, "value": None}
    models = {"cnn": {"best": best, "selected": None, "folds": {"folds": 0, "mean": None, "of": 2}}}
    assert results_of(state(models=models)) == ["cnn: best so far trial 4, accuracy - (validation)"]
    leader = {"model": "cnn", "value": None, "by": "trial", "won": False}
    entry = {"name": "x", "id": "x-1", "created": "2026-01-05T12:00:00+00:00"}
    entry |= {"tasks": 4, "decided": 1, "running": 0, "failed": 0}
    assert "cnn - (trial)" in table([entry | {"best": leader}])[1]
