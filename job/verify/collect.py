"""Every row of one moment, as verify and gc look at it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from job.coordination.attempt import UNDONE
from job.coordination.database import Database, queries
from job.coordination.tasks import DECIDED, Registered
from job.errors import Invalid, Missing, UsageError
from job.experiment.experiment import Experiment
from job.experiment.specification import stored
from job.experiment.task import Key
from job.learning import provenance
from job.learning.checkpoint import Damaged
from job.sentences import UNREADABLE

SQL = queries("verify")


@dataclass
class Task:
    """One task with all that hangs on it; `row` is its row, columns by name."""

    key: Key
    row: dict
    attempts: list[dict] = field(default_factory=list)
    epochs: dict[str, list] = field(
        default_factory=lambda: {k: [] for k in ("epoch", "attempt", "value", "pruned", "metrics")}
    )

    @property
    def decided(self) -> bool:
        return self.row["state"] in DECIDED

    @property
    def diverged(self) -> bool:
        """A trial whose loss was not finite: it ended as pruned, without any file."""
        return self.row["state"] == "pruned" and str(self.row["reason"]).startswith("diverged")

    @property
    def undone(self) -> list[dict]:
        """The attempts that had decided the task, before `job repair` let it be done again."""
        return [a for a in self.attempts if str(a["reason"]).startswith(UNDONE)]

    @property
    def first_finished(self) -> datetime | None:
        """When it was decided or failed for the first time, None if it never was."""
        return min(
            [a["ended"] for a in self.undone]
            + [t for t in [self.row["finished"]] if t is not None],
            default=None,
        )

    @property
    def exact(self) -> bool:
        """Whether every attempt computed on the same CPU: an epoch trained again then gives the same numbers."""
        return provenance.exact([a["machine"] for a in self.attempts if a["machine"]])

    @property
    def files(self) -> dict[str, dict]:
        """What the row names in the store; a task that is not decided names nothing that counts."""
        artifact = self.row["artifact"]
        return artifact if self.decided and isinstance(artifact, dict) else {}


@dataclass
class Recorded:
    """All that the database has of one experiment."""

    registered: Registered
    spec: dict
    tasks: dict[Key, Task]
    selections: dict[str, dict]
    openings: list[dict]
    studies: dict[str, dict]  # model -> directions, trials

    @property
    def experiment(self) -> Experiment:
        return self.registered.experiment

    def stage(self, stage: str, model: str | None = None) -> list[Task]:
        """Return the tasks of a stage, of one model or of all."""
        return [
            t for t in self.tasks.values() if t.key.stage == stage and model in (None, t.key.model)
        ]

    def parameters(self, task: Task) -> dict:
        """Return all parameters of a task: the experiment's fixed ones and its own."""
        return self.experiment.fixed(task.key.model) | (task.row["parameters"] or {})


@dataclass
class Promise:
    """One promise, re-checked for one experiment."""

    experiment: str
    name: str
    detail: str = ""
    violations: list[str] = field(default_factory=list)
    skipped: bool = False  # nothing could be compared


def read(
    database: Database, name: str | None, deep: bool = False
) -> tuple[list[Recorded], list[Promise]]:
    """Return every experiment (or the one of this name) as of one moment, and what of them cannot be read.

    Raises: UsageError for a name that is not there.
    """
    database.check_schema()
    found, broken = [], []
    for row, rows in database.run(lambda cursor: _snapshot(cursor, name, deep)):
        try:
            registered = Registered(
                row["id"],
                stored(row["spec"]),
                row["fingerprint"],
                row["data"],
                row["weights"],
                row["splits"],
            )
            found.append(_recorded(registered, row["spec"], rows))
        except (Invalid, *UNREADABLE) as exc:
            broken.append(
                Promise(
                    row["id"], "exactly N", "", [f"the stored specification cannot be read: {exc}"]
                )
            )
    if name is not None and not found and not broken:
        raise UsageError(
            f"there is no experiment '{name}' (from JOB_EXPERIMENT or --experiment) in the database; unset it to check all"
        )
    return found, broken


def sentences(subject: object, found: Iterable[str]) -> Iterator[str]:
    """Yield what a check found, each as a sentence about its subject; what cannot be read is a finding too."""
    try:
        for sentence in found:
            yield f"{subject} {sentence}"
    except (Missing, Damaged) as exc:
        yield f"{subject} cannot be checked: {exc}"
    except UNREADABLE as exc:
        yield f"{subject} cannot be checked: {type(exc).__name__} {exc}"


def _snapshot(cursor, name: str | None, deep: bool) -> list[tuple[dict, dict]]:
    """Read every table at one moment, so that nothing contradicts what a worker wrote meanwhile."""

    def rows(statement: str, **values) -> list[dict]:
        cursor.execute(SQL[statement], values)
        return [dict(row) for row in cursor.fetchall()]

    cursor.execute(SQL["snapshot"])
    result = []
    for row in rows("experiments", name=name):
        own = {"experiment": row["id"]}
        tables = {
            table: rows(table, **own) for table in ("tasks", "attempts", "selections", "openings")
        }
        tables["epochs"] = rows("epochs", **own, deep=deep)
        tables["studies"] = rows("studies", name=row["name"])
        for study in tables["studies"]:
            study["trials"] = rows("trials", study=study["study_id"])
        result.append((row, tables))
    return result


def _recorded(registered: Registered, spec: dict, rows: dict[str, list[dict]]) -> Recorded:
    tasks = {_key(row): Task(_key(row), row) for row in rows["tasks"]}
    for row in rows["attempts"]:
        tasks[_key(row)].attempts.append(row)
    for row in rows["epochs"]:
        tasks[_key(row)].epochs = {
            name: row[name] or [] for name in ("epoch", "attempt", "value", "pruned", "metrics")
        }
    selections = {row["model"]: row for row in rows["selections"]}
    studies = {row["study_name"].partition("/")[2]: row for row in rows["studies"]}
    return Recorded(registered, spec, tasks, selections, rows["openings"], studies)


def _key(row: dict) -> Key:
    return Key(row["model"], row["stage"], row["index"])
