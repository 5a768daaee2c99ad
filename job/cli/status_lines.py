"""The state of an experiment, and the list of them, as plain lines: sentences that say what they do not know."""

from collections import Counter
from datetime import datetime

from job.coordination.status import STATES
from job.text import printable


def lines(state: dict) -> list[str]:
    """Return the state as plain lines, without a control character."""
    width = max([len("model"), *(len(m) for models in state["stages"].values() for m in models)])
    found = [
        headline(state),
        f"{'stage':8}  {'model':{width}}"
        + "".join(f"{s:>10}" for s in STATES)
        + f"{'images/s':>10}{'a task':>14}",
    ]
    for stage, models in state["stages"].items():
        for model, counts in models.items():
            speed, mean = speed_of(state, stage, model), mean_of(state, stage, model)
            found.append(
                f"{stage:8}  {model:{width}}"
                + "".join(f"{n or '-':>10}" for n in counts.values())
                + f"{speed or '-':>10}{mean or '-':>14}"
            )
    found += results_of(state)
    found += [f"running: {' '.join(filter(None, row))}" for row in workers(state)]
    return found + [*failures(state), *summary(state)]


def headline(state: dict) -> str:
    """Return what is done of the whole."""
    decided = sum(
        n
        for models in state["stages"].values()
        for c in models.values()
        for s, n in c.items()
        if s not in ("waiting", "running")
    )
    return f"{state['experiment']} ({state['id']}): {decided} of {state['tasks']} tasks decided, {len(state['running'])} running"


def summary(state: dict) -> list[str]:
    """Return the attempts, the notes and the time left, as sentences."""
    found = []
    if state["attempts"]:
        lost = sum(state["attempts"].get(outcome, 0) for outcome in ("error", "vanished"))
        words = ", ".join(f"{n} {outcome}" for outcome, n in state["attempts"].items())
        found.append(f"attempts: {words}; {lost} lost")
    return [*found, *(f"note: {printable(note)}" for note in state["notes"]), _left(state)]


def _left(state: dict) -> str:
    """Return how long it will take, as far as that is known."""
    time_left, blocked = state["time_left"], _blocked(state)
    if not state["undecided"]:
        return "everything is decided" + (
            f", but for {blocked} tasks that cannot run: a stage before them failed"
            if blocked
            else ""
        )
    of = time_left["unknown"]
    more = f" and {len(of) - 3} more" if len(of) > 3 else ""
    unknown = f"; of {', '.join(of[:3])}{more} nothing is known yet" if of else ""
    if time_left["left_s"] is not None:
        least = "at least " if unknown else ""
        return f"time left: {least}about {span(time_left['left_s'])} with {time_left['workers']} at a time, if tasks go on as those decided did{unknown}"
    work = (
        f"about {span(time_left['work_s'])} of work for one worker are left"
        if time_left["work_s"]
        else ""
    )
    why = "" if time_left["workers"] else "nothing runs; "
    return f"time left: unknown; {why}{work}{unknown}".replace("; ;", ";").rstrip("; ")


def _blocked(state: dict) -> int:
    """Return how many tasks wait for what will never be."""
    return (
        sum(
            c["waiting"] + c["running"]
            for models in state["stages"].values()
            for c in models.values()
        )
        - state["undecided"]
    )


def results_of(state: dict) -> list[str]:
    """Return a line for each model that has come to something."""
    found = []
    for model, results in state["models"].items():
        if results["best"]:
            word = "selected" if results["selected"] else "best so far"
            of = results["selected"] or results["best"]
            folds = results["folds"]
            mean = (
                f"; mean of {folds['folds']} of {folds['of']} folds {_score(folds['mean'])}"
                if folds["mean"] is not None
                else ""
            )
            found.append(
                f"{model}: {word} trial {of['trial']}, {state['metric']} {_score(of['value'])} (validation){mean}"
            )
    return found


def failures(state: dict) -> list[str]:
    """Return a line for each reason that tasks of a stage failed for."""
    alike = Counter((f["stage"], f["model"], printable(f["reason"])) for f in state["failed"])
    first = {}
    for f in state["failed"]:
        first.setdefault((f["stage"], f["model"], printable(f["reason"])), f["index"])
    return [
        f"failed: {model} {stage} {first[stage, model, reason]}{f' and {n - 1} more' if n > 1 else ''}: {reason}"
        for (stage, model, reason), n in alike.items()
    ]


def workers(state: dict) -> list[tuple[str, ...]]:
    """Return task, attempt, host, step, lease and last beat of everything that runs."""
    return [
        (
            f"{r['model']} {r['stage']} {r['index']}",
            f"attempt {r['attempt']}",
            f"on {printable(r['host'])}",
            f"saved step {r['last_step']}",
            f"lease {span(r['lease_left_s'])}" if r["lease_left_s"] > 0 else "lease over",
            f"beat {span(r['beat_s'])} ago",
        )
        for r in state["running"]
    ]


def speed_of(state: dict, stage: str, model: str) -> str:
    """Return images a second, or nothing where none was seen."""
    found = (
        s["images_per_s"]
        for s in state["images_per_s"]
        if (s["stage"], s["model"]) == (stage, model)
    )
    return next((f"{speed:.0f}" for speed in found), "")


def mean_of(state: dict, stage: str, model: str) -> str:
    """Return how long a task takes, or nothing while none is decided."""
    return next(
        (span(t["mean_s"]) for t in state["task_s"] if (t["stage"], t["model"]) == (stage, model)),
        "",
    )


def table(experiments: list[dict]) -> list[str]:
    """Return the experiments of a database as lines."""
    if not experiments:
        return ["there is no experiment in the database: run `job prepare EXPERIMENT.toml`"]
    width = max(len("name"), *(len(e["name"]) for e in experiments))
    widest = max(len("best"), *(len(_best(e)) for e in experiments))
    found = [
        f"{'name':{width}}  {'created':16}  {'decided':>13}  {'running':>7}  {'failed':>6}  {'best':{widest}}  id"
    ]
    for e in experiments:
        created = datetime.fromisoformat(e["created"]).astimezone()
        decided = f"{e['decided']} of {e['tasks']}"
        found.append(
            f"{e['name']:{width}}  {created:%Y-%m-%d %H:%M}  {decided:>13}  {e['running']:>7}  {e['failed']:>6}  {_best(e):{widest}}  {e['id']}"
        )
    return found


def _best(entry: dict) -> str:
    """Return who leads, by what."""
    best = entry["best"]
    return (
        f"{best['model']} {_score(best['value'])} ({'winner, ' if best['won'] else ''}{best['by']})"
        if best
        else "-"
    )


def _score(value: float | None) -> str:
    """Return a score with four digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.4f}"


def span(seconds: float) -> str:
    """Return seconds as a person says them: two units at most."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    for unit, name, below in ((24 * 60, "d", "h"), (60, "h", "min")):
        if minutes >= unit:
            rest = minutes % unit // (60 if below == "h" else 1)
            return f"{minutes // unit} {name}" + (f" {rest} {below}" if rest else "")
    return f"{minutes} min"
