"""What is done and what runs where, from the database only."""

from job.database import Database, queries
from job.errors import NotReady
from job.experiment import STAGES
from job.tasks import Registered

SQL = queries("status")
STATES = ("waiting", "running", "complete", "pruned", "failed")


def collect(database: Database, registered: Registered) -> dict:
    """Return tasks by stage, model and state, the running attempts, and the failed tasks with their reasons."""
    rows = database.rows(SQL["states"], experiment=registered.id)
    stages = {stage: {} for stage in STAGES}
    for row in rows:
        stages[row["stage"]].setdefault(row["model"], dict.fromkeys(STATES, 0))[row["state"]] = row["tasks"]
    return {
        "experiment": registered.experiment.name,
        "id": registered.id,
        "stages": stages,
        "running": database.rows(SQL["running"], experiment=registered.id),
        "failed": database.rows(SQL["failed"], experiment=registered.id),
    }


def check_all_decided(database: Database, registered: Registered) -> None:
    """Raise `NotReady` while there are tasks that somebody may still decide."""
    left = undecided(collect(database, registered)["stages"])
    if left:
        raise NotReady(f"not every task is decided: {', '.join(f'{n} of {stage}' for stage, n in left.items())} to go")


def undecided(stages: dict) -> dict[str, int]:
    """Return the number of tasks that may still be decided, by stage.

    Those behind a stage that ended without what they need never will be: a failed shard of features, no complete trial.
    """
    left = dict.fromkeys(STAGES, 0)
    for model in {model for models in stages.values() for model in models}:
        for stage in STAGES:
            counts = stages[stage].get(model)
            if counts is None:
                continue
            open_ = counts["waiting"] + counts["running"]
            left[stage] += open_
            if (stage == "features" and counts["failed"]) or (stage == "trial" and not open_ + counts["complete"]):
                break
    return {stage: n for stage, n in left.items() if n}


def text(state: dict) -> str:
    """Return the state as lines for a person."""
    lines = [f"{state['experiment']} ({state['id']})", f"{'':22}" + "".join(f"{s:>10}" for s in STATES)]
    for stage, models in state["stages"].items():
        lines += [f"{stage:9} {model:12}" + "".join(f"{n or '-':>10}" for n in counts.values()) for model, counts in models.items()]
    lines += [
        f"running: {r['model']} {r['stage']} {r['index']}, attempt {r['attempt']} on {r['host']}, step {r['last_step']}, beat {r['beat_s']:.0f} s ago"
        for r in state["running"]
    ]
    lines += [f"failed: {r['model']} {r['stage']} {r['index']}: {r['reason']}" for r in state["failed"]]
    return "\n".join(lines)
