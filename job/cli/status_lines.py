"""The state of an experiment, and the list of experiments, as plain lines.

An estimate says what it does not know.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from job.coordination.counts import STATES
from job.text import printable

OPEN = ("waiting", "running")
LEASE_EXPIRED = "lease expired"
# Stages without an estimate beyond this number are counted, not named.
MOST_UNKNOWN = 3


def lines(state: dict) -> list[str]:
    """Return the state as plain lines, without a control character.

    Args:
        state: What `job.coordination.status.collect` returns.
    """
    running = [f"running: {' '.join(filter(None, cells))}" for cells in worker_cells(state)]
    return [
        headline(state),
        *_stage_lines(state),
        *results_of(state),
        *running,
        *failures(state),
        *summary(state),
    ]


def _stage_lines(state: dict) -> Iterator[str]:
    """Yield a table: its heading, then one line per stage and model."""
    names = [model for models in state["stages"].values() for model in models]
    width = max(len(name) for name in ("model", *names))
    heads = "".join(f"{name:>10}" for name in (*STATES, "images/s"))
    yield f"{'stage':8}  {'model':{width}}{heads}{'per task':>14}"
    for stage, models in state["stages"].items():
        for model, counts in models.items():
            cells = (*counts.values(), speed_of(state, stage, model))
            numbers = "".join(f"{cell or '-':>10}" for cell in cells)
            mean = mean_of(state, stage, model) or "-"
            yield f"{stage:8}  {model:{width}}{numbers}{mean:>14}"


def headline(state: dict) -> str:
    """Return how many of all tasks are decided."""
    decided = sum(
        decided_of(counts) for models in state["stages"].values() for counts in models.values()
    )
    return (
        f"{state['experiment']} ({state['id']}): {decided} of {state['tasks']} tasks decided,"
        f" {len(state['running'])} running"
    )


def decided_of(counts: dict[str, int]) -> int:
    """Return the number of decided tasks. Args: counts: Tasks by state."""
    return sum(count for state, count in counts.items() if state not in OPEN)


def summary(state: dict) -> list[str]:
    """Return the attempts, the notes and the time left, one sentence each."""
    notes = [f"note: {printable(note)}" for note in state["notes"]]
    return [*_attempts(state), *notes, _time_left(state)]


def _attempts(state: dict) -> Iterator[str]:
    """Yield how attempts ended, unless there was none."""
    if state["attempts"]:
        lost = sum(state["attempts"].get(outcome, 0) for outcome in ("error", "vanished"))
        counts = ", ".join(f"{count} {outcome}" for outcome, count in state["attempts"].items())
        yield f"attempts: {counts}; {lost} lost"


def _time_left(state: dict) -> str:
    """Return how long the rest takes, as far as that is known."""
    if not state["undecided"]:
        return _nothing_left(state)
    estimate = state["time_left"]
    unknown = list(_unknown(estimate["unknown"]))
    if estimate["left_s"] is not None:
        least = "at least " if unknown else ""
        known = (
            f"{least}about {span(estimate['left_s'])} with {estimate['workers']} at a time,"
            " if tasks take as long as earlier ones"
        )
    else:
        known = "; ".join(["unknown", *_work_left(estimate)])
    return f"time left: {'; '.join([known, *unknown])}"


def _work_left(estimate: dict) -> Iterator[str]:
    """Yield what is known when the time left is not."""
    if not estimate["workers"]:
        yield "nothing runs"
    if estimate["work_s"]:
        yield f"about {span(estimate['work_s'])} of work for one worker are left"


def _unknown(names: list[str]) -> Iterator[str]:
    """Yield a sentence about the stages that have no estimate, unless there is none."""
    if names:
        more = len(names) - MOST_UNKNOWN
        others = f" and {more} more" if more > 0 else ""
        yield f"nothing is known yet about {', '.join(names[:MOST_UNKNOWN])}{others}"


def _nothing_left(state: dict) -> str:
    """Return that everything is decided, and how many tasks never will be."""
    blocked = sum(
        counts["waiting"] + counts["running"]
        for models in state["stages"].values()
        for counts in models.values()
    )
    if not blocked:
        return "everything is decided"
    return f"everything is decided except {blocked} tasks that cannot run: an earlier stage failed"


def results_of(state: dict) -> list[str]:
    """Return one line per model that has a result."""
    return [
        _result(model, results, state["metric"])
        for model, results in state["models"].items()
        if results["best"]
    ]


def _result(model: str, results: dict, metric: str) -> str:
    """Return the best trial of a model and the mean of its folds."""
    word = "selected" if results["selected"] else "best so far"
    trial = results["selected"] or results["best"]
    folds = results["folds"]
    mean = (
        f"; mean of {folds['folds']} of {folds['of']} folds {_score(folds['mean'])}"
        if folds["mean"] is not None
        else ""
    )
    score = _score(trial["value"])
    return f"{model}: {word} trial {trial['trial']}, {metric} {score} (validation){mean}"


def failures(state: dict) -> list[str]:
    """Return one line per stage, model and reason for which tasks failed."""
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], int] = {}
    for task in state["failed"]:
        alike = (task["stage"], task["model"], printable(task["reason"]))
        counts[alike] += 1
        first.setdefault(alike, task["index"])
    return [_failure(*alike, first[alike], count - 1) for alike, count in counts.items()]


def _failure(stage: str, model: str, reason: str, index: int, more: int) -> str:
    others = f" and {more} more" if more else ""
    return f"failed: {model} {stage} {index}{others}: {reason}"


def worker_cells(state: dict) -> list[tuple[str, ...]]:
    """Return task, attempt, host, step, lease and last beat of every running task."""
    return [
        (
            f"{task['model']} {task['stage']} {task['index']}",
            f"attempt {task['attempt']}",
            f"on {printable(task['host'])}",
            f"saved step {task['last_step']}",
            f"lease {span(task['lease_left_s'])}" if task["lease_left_s"] > 0 else LEASE_EXPIRED,
            f"beat {span(task['beat_s'])} ago",
        )
        for task in state["running"]
    ]


def speed_of(state: dict, stage: str, model: str) -> str:
    """Return images per second, or nothing if none were seen."""
    for entry in state["images_per_s"]:
        if (entry["stage"], entry["model"]) == (stage, model):
            return f"{entry['images_per_s']:.0f}"
    return ""


def mean_of(state: dict, stage: str, model: str) -> str:
    """Return how long a task takes, or nothing while none is decided."""
    for entry in state["task_s"]:
        if (entry["stage"], entry["model"]) == (stage, model):
            return span(entry["mean_s"])
    return ""


def table(experiments: list[dict]) -> list[str]:
    """Return the experiments of a database as a heading and one line each.

    Args:
        experiments: What `job.coordination.status.experiments` returns.
    """
    if not experiments:
        return ["there is no experiment in the database: run `job prepare EXPERIMENT.toml`"]
    heads = ("name", "created", "decided", "running", "failed", "best", "id")
    rows = [heads, *map(_experiment_cells, experiments)]
    name_width = max(len(row[0]) for row in rows)
    best_width = max(len(row[5]) for row in rows)
    return [
        f"{name:{name_width}}  {created:16}  {decided:>13}  {running:>7}  {failed:>6}"
        f"  {best:{best_width}}  {id_}"
        for name, created, decided, running, failed, best, id_ in rows
    ]


def _experiment_cells(entry: dict) -> tuple[str, ...]:
    """Return the cells of an experiment in the list."""
    created = datetime.fromisoformat(entry["created"]).astimezone()
    return (
        entry["name"],
        f"{created:%Y-%m-%d %H:%M}",
        f"{entry['decided']} of {entry['tasks']}",
        str(entry["running"]),
        str(entry["failed"]),
        _leader(entry["best"]),
        entry["id"],
    )


def _leader(best: dict | None) -> str:
    """Return which model leads and by which score, or a dash."""
    if best is None:
        return "-"
    winner = "winner, " if best["won"] else ""
    return f"{best['model']} {_score(best['value'])} ({winner}{best['by']})"


def _score(value: float | None) -> str:
    """Return a score with four digits, or a dash if there is none."""
    return "-" if value is None else f"{value:.4f}"


def span(seconds: float) -> str:
    """Return seconds as a person says them, in two units at most."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes >= 24 * 60:
        return _two_units(minutes // 60, 24, "d", "h")
    if minutes >= 60:
        return _two_units(minutes, 60, "h", "min")
    return f"{minutes} min"


def _two_units(count: int, per: int, large: str, small: str) -> str:
    """Return a count of small units as large ones and the rest."""
    rest = count % per
    return f"{count // per} {large}" + (f" {rest} {small}" if rest else "")
