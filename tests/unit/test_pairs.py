"""The benchmark's arithmetic: turns, ratios of pairs, and the curve of a study.

A ratio above 1 is always better for us.
"""

from functools import partial

import pytest

from bench.pairs import compare, document, in_turn, table
from bench.search import again, best_at, chosen, curve, reached


def test_contenders_take_turns():
    """Each contender is measured once per round, and the last one is first in the next round."""
    calls = []

    def measure(name: str) -> int:
        calls.append(name)
        return len(calls)

    measured = in_turn(3, partial(measure, "a"), partial(measure, "b"))
    assert calls == list("abbaab")
    assert measured == [[1, 4, 5], [2, 3, 6]]


@pytest.mark.parametrize(("less_is_better", "ratio"), [(False, 1.5), (True, 2 / 3)])
def test_the_ratio_is_of_pairs(less_is_better, ratio):
    """The ratio is the median of the rounds' ratios, so one slow round changes nothing."""
    row = compare("step", "images/s", [3.0, 1.5, 3.0], [2.0, 1.0, 2.0], less_is_better)
    assert row.ratio == pytest.approx(ratio)
    assert row.spread == (pytest.approx(ratio), pytest.approx(ratio))
    assert row.n == 3
    assert (row.ours, row.yardstick) == (3.0, 2.0)


def test_a_missed_goal_is_said():
    """The table says which goals were missed."""
    rows = [compare("fast", "s", [1.0], [2.0], True), compare("slow", "s", [2.0], [1.0], True)]
    assert [line.endswith("missed") for line in table(rows).splitlines()] == [False, False, True]


@pytest.mark.parametrize(
    ("ours", "less", "reached"),
    [(0.4, True, True), (0.6, True, False), (0.6, False, True), (0.4, False, False)],
)
def test_a_limit_is_for_ours_alone(ours, less, reached):
    """A row with a limit is judged by it alone, whatever the yardstick does.

    A yardstick that failed is a dash in the table, and null in JSON.
    """
    row = compare("claim", "s", [ours], [float("nan")], less, limit=0.5)
    assert row.reached == reached
    assert table([row]).splitlines()[1].split()[:4] == ["claim", str(ours), "-", "s"]
    assert (document([row])[0]["yardstick"], document([row])[0]["ours"]) == (None, ours)


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_who_fails_once_has_no_number(failed):
    """A round that failed is not left out of the median: ratio and limit are both missed."""
    ours = [float("nan") if i == failed else 2.0 for i in range(3)]
    rows = [compare("rate", "1/s", ours, [1.0] * 3, limit=limit) for limit in (None, 1.0)]
    assert [row.reached for row in rows] == [False, False]
    assert document(rows)[0]["ours"] is None
    assert document(rows)[0]["spread"] == [None, None]


def test_the_curve_of_a_study():
    """Pruned trials cost their epochs and find nothing.

    A value that is not reached costs what the caller says.
    """
    points = curve(
        [
            {"state": "pruned", "value": 0.9, "epochs": 1},
            {"state": "complete", "value": 0.5, "epochs": 10},
            {"state": "complete", "value": 0.4, "epochs": 10},
            {"state": "complete", "value": 0.6, "epochs": 10},
        ]
    )
    assert points == [(1, 0.0), (11, 0.5), (21, 0.5), (31, 0.6)]
    assert [reached(points, value, 99) for value in (0.5, 0.55, 0.7)] == [11, 31, 99]
    best = [best_at(points, spent) for spent in (0, 10.9, 11, 30, 31, 40)]
    assert best == [0.0, 0.0, 0.5, 0.5, 0.6, 0.6]


def test_what_was_chosen_is_trained_again():
    """A study chooses its best complete trial, the earliest of equal ones, and trains it again.

    The means of both contenders are compared by seed.
    """
    trials = [
        {"state": "complete", "value": 0.4, "number": 0},
        {"state": "pruned", "value": 0.9, "number": 1},
        {"state": "complete", "value": 0.4, "number": 2},
    ]
    assert chosen(trials)["number"] == 0
    seeds = [
        [{"value": v} for v in (0.40, 0.38, 0.42, 0.40)],
        [{"value": v} for v in (0.40, 0.41, 0.42, 0.43)],
    ]
    row = again(seeds)
    assert (row.ours, row.yardstick, row.n) == (pytest.approx(0.405), pytest.approx(0.41), 2)
    assert row.reached
    assert not again([[{"value": v} for v in (0.40, 0.38)]] * 2).reached
