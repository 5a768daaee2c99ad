"""What is done and what runs where, from the database only."""

from job.database import Database, queries
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
