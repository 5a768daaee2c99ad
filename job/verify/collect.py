"""Every row as of one moment, for `job verify` and `job repair`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from job.coordination.attempt import UNDONE
from job.coordination.database import Database
from job.coordination.outcome import DECIDED, is_infeasible
from job.coordination.registered import Registered
from job.coordination.rows import AttemptRow, OpeningRow, SelectionRow, TaskRow
from job.coordination.snapshot import Rows, within
from job.coordination.statements import queries
from job.errors import Invalid, Missing, UsageError
from job.experiment.experiment import Experiment
from job.experiment.manifest import Prepared
from job.experiment.specification import from_stored
from job.experiment.task import Key
from job.learning import provenance
from job.learning.checkpoint import Damaged
from job.learning.result_format import Machine
from job.sentences import UNREADABLE

SQL = queries("verify")
EPOCH_COLUMNS = ("epoch", "attempt", "value", "pruned", "metrics")
# Of many values in a sentence.
MOST_SHOWN = 8


@dataclass
class Task:
    """One task with its attempts and epochs."""

    key: Key
    row: TaskRow
    attempts: list[AttemptRow] = field(default_factory=list)
    # Column -> one value per epoch, in order.
    epochs: dict[str, list] = field(default_factory=lambda: {k: [] for k in EPOCH_COLUMNS})

    @property
    def decided(self) -> bool:
        """Tell whether the task is complete or pruned."""
        return self.row.state in DECIDED

    @property
    def infeasible(self) -> bool:
        """Tell whether a trial was pruned as its parameters cannot be trained: it has no files."""
        return is_infeasible(self.row.state, self.row.reason)

    @property
    def undone(self) -> list[AttemptRow]:
        """The attempts that had decided the task before `job repair` reset it."""
        return [a for a in self.attempts if str(a.reason).startswith(UNDONE)]

    @property
    def first_finished(self) -> datetime | None:
        """When the task was first decided or failed; None if it never was."""
        ends = [a.ended for a in self.undone if a.ended is not None]
        if self.row.finished is not None:
            ends.append(self.row.finished)
        return min(ends, default=None)

    @property
    def exact(self) -> bool:
        """Tell whether all attempts computed on the same CPU.

        Then an epoch that is trained again gives the same numbers.
        """
        machines = [a.machine for a in self.attempts if a.machine]
        return provenance.is_exact(cast("list[Machine]", machines))

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """The files in the store that the row names, by name; {} while the task is not decided."""
        artifact = self.row.artifact
        return artifact if self.decided and isinstance(artifact, dict) else {}


@dataclass
class Recorded:
    """All that the database has about one experiment."""

    registered: Registered
    # The specification and the data as the row has them.
    spec: dict[str, Any]
    data: dict[str, Any]
    tasks: dict[Key, Task]
    # By model.
    selections: dict[str, SelectionRow]
    openings: list[OpeningRow]
    # Model -> row of Optuna's study, with its directions and trials.
    studies: dict[str, dict[str, Any]]

    @property
    def experiment(self) -> Experiment:
        """The experiment of the stored specification."""
        return self.registered.experiment

    def stage(self, stage: str, model: str | None = None) -> list[Task]:
        """Return the tasks of a stage, of one model or of all."""
        return [
            t for t in self.tasks.values() if t.key.stage == stage and model in (None, t.key.model)
        ]

    def parameters(self, task: Task) -> dict[str, Any]:
        """Return all parameters of a task: the experiment's fixed ones and its own."""
        return self.experiment.fixed(task.key.model) | (task.row.parameters or {})


@dataclass
class Promise:
    """One promise, checked again for one experiment."""

    experiment: str
    name: str
    detail: str = ""
    violations: list[str] = field(default_factory=list)
    # True: nothing could be compared.
    skipped: bool = False


def read(
    database: Database, name: str | None, deep: bool = False
) -> tuple[list[Recorded], list[Promise]]:
    """Return all experiments as of one moment, and a broken promise for each unreadable one.

    Args:
        database: where to read.
        name: of one experiment; None: of all.
        deep: read the metrics of every epoch too.

    Raises: UsageError for an unknown name.
    """
    database.check_schema()
    experiments: list[Recorded] = []
    unreadable: list[Promise] = []
    for row, tables in within(database, SQL, lambda rows: _read_all(rows, name, deep)):
        try:
            data = Prepared.from_stored(row["data"])
        except UNREADABLE as exc:
            violation = f"the experiment's row cannot be read: {type(exc).__name__} {exc}"
            unreadable.append(Promise(row["id"], "data", "", [violation]))
            continue
        try:
            experiments.append(_assemble(row, data, tables))
        except (Invalid, *UNREADABLE) as exc:
            violation = f"the stored specification cannot be read: {exc}"
            unreadable.append(Promise(row["id"], "exactly N", "", [violation]))
    if name is not None and not experiments and not unreadable:
        raise UsageError(
            f"there is no experiment '{name}' (from JOB_EXPERIMENT or --experiment)"
            " in the database; unset it to check all"
        )
    return experiments, unreadable


def sentences(subject: object, endings: Iterable[str]) -> Iterator[str]:
    """Yield each ending of a check as a sentence about its subject.

    That a row or a file cannot be read is a violation too.
    """
    try:
        for ending in endings:
            yield f"{subject} {ending}"
    except (Missing, Damaged) as exc:
        yield f"{subject} cannot be checked: {exc}"
    except UNREADABLE as exc:
        yield f"{subject} cannot be checked: {type(exc).__name__} {exc}"


def first_few(values: Iterable[object]) -> str:
    """Return the first of many values as text, and how many more there are."""
    shown = [str(value) for value in values]
    text = ", ".join(shown[:MOST_SHOWN])
    if len(shown) > MOST_SHOWN:
        return f"{text} and {len(shown) - MOST_SHOWN} more"
    return text


def _read_all(rows: Rows, name: str | None, deep: bool) -> list[tuple[dict, dict[str, list]]]:
    """Return the row of each experiment with the rows of its tables by name."""
    found: list[tuple[dict, dict[str, list]]] = []
    for row in rows("experiments", name=name):
        own = {"experiment": row["id"]}
        tables = {
            table: rows(table, **own) for table in ("tasks", "attempts", "selections", "openings")
        }
        tables["epochs"] = rows("epochs", **own, deep=deep)
        tables["studies"] = rows("studies", name=row["name"])
        for study in tables["studies"]:
            study["trials"] = rows("trials", study=study["study_id"])
        found.append((row, tables))
    return found


def _assemble(row: dict[str, Any], data: Prepared, tables: dict[str, list]) -> Recorded:
    registered = Registered(
        row["id"],
        from_stored(row["spec"]),
        row["fingerprint"],
        data,
        row["weights"],
        row["splits"],
    )
    tasks = {_key(task): Task(_key(task), TaskRow(**task)) for task in tables["tasks"]}
    for attempt in tables["attempts"]:
        tasks[_key(attempt)].attempts.append(AttemptRow(**attempt))
    for epochs in tables["epochs"]:
        tasks[_key(epochs)].epochs = {column: epochs[column] or [] for column in EPOCH_COLUMNS}
    selections = {found["model"]: SelectionRow(**found) for found in tables["selections"]}
    openings = [OpeningRow(**found) for found in tables["openings"]]
    studies = {study["study_name"].partition("/")[2]: study for study in tables["studies"]}
    return Recorded(registered, row["spec"], row["data"], tasks, selections, openings, studies)


def _key(row: dict[str, Any]) -> Key:
    return Key(row["model"], row["stage"], row["index"])
