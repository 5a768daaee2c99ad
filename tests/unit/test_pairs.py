"""The benchmark's arithmetic: in turn, pair by pair, a ratio above 1 is always better for us; a study's curve."""

import pytest

from bench.pairs import compare, document, in_turn, table
from bench.search import again, best_at, chosen, curve, reached


def test_contenders_take_turns():
    """Each contender is measured once a round, and who was last is first in the next."""
    calls = []
    found = in_turn(
        3, lambda: calls.append("a") or len(calls), lambda: calls.append("b") or len(calls)
    )
    assert calls == list("abbaab")
    assert found == [[1, 4, 5], [2, 3, 6]]


@pytest.mark.parametrize(("less_is_better", "ratio"), [(False, 1.5), (True, 2 / 3)])
def test_the_ratio_is_of_pairs(less_is_better, ratio):
    """The ratio is the median of the rounds' ratios: a machine that is twice as slow in one round changes nothing."""
    row = compare("step", "images/s", [3.0, 1.5, 3.0], [2.0, 1.0, 2.0], less_is_better)
    assert (row.ratio, row.spread, row.n) == (
        pytest.approx(ratio),
        (pytest.approx(ratio), pytest.approx(ratio)),
        3,
    )
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
    """A row with a limit is judged by it, whatever the yardstick does: one that failed is a dash, and null in JSON."""
    row = compare("claim", "s", [ours], [float("nan")], less, limit=0.5)
    assert row.reached == reached
    assert table([row]).splitlines()[1].split()[:4] == ["claim", str(ours), "-", "s"]
    assert (document([row])[0]["yardstick"], document([row])[0]["ours"]) == (None, ours)


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_who_fails_once_has_no_number(failed):
    """A round that failed is no round to leave out of a median: the goal is missed, of the ratio and of ours alone."""
    ours = [float("nan") if i == failed else 2.0 for i in range(3)]
    rows = [compare("rate", "1/s", ours, [1.0] * 3, limit=limit) for limit in (None, 1.0)]
    assert [row.reached for row in rows] == [False, False]
    assert document(rows)[0]["ours"] is None and document(rows)[0]["spread"] == [None, None]


def test_the_curve_of_a_study():
    """Pruned trials cost their epochs and find nothing; a value not reached costs what the caller says."""
    trials = [
        ("pruned", 0.9, 1),
        ("complete", 0.5, 10),
        ("complete", 0.4, 10),
        ("complete", 0.6, 10),
    ]
    points = curve(
        [{"state": state, "value": value, "epochs": epochs} for state, value, epochs in trials]
    )
    assert points == [(1, 0.0), (11, 0.5), (21, 0.5), (31, 0.6)]
    assert (reached(points, 0.5, 99), reached(points, 0.55, 99), reached(points, 0.7, 99)) == (
        11,
        31,
        99,
    )
    assert [best_at(points, spent) for spent in (0, 10.9, 11, 30, 31, 40)] == [
        0.0,
        0.0,
        0.5,
        0.5,
        0.6,
        0.6,
    ]


def test_what_was_chosen_is_trained_again():
    """A study goes on with its best complete trial, ties to the earliest; trained again in turn, the means of both are compared by seed."""
    trials = [
        {"state": state, "value": value, "number": i}
        for i, (state, value) in enumerate([("complete", 0.4), ("pruned", 0.9), ("complete", 0.4)])
    ]
    assert chosen(trials)["number"] == 0
    seeds = [
        [{"value": v} for v in (0.40, 0.38, 0.42, 0.40)],
        [{"value": v} for v in (0.40, 0.41, 0.42, 0.43)],
    ]
    row = again(seeds)
    assert (row.ours, row.yardstick, row.n) == (pytest.approx(0.405), pytest.approx(0.41), 2)
    assert row.reached and not again([[{"value": v} for v in (0.40, 0.38)]] * 2).reached
