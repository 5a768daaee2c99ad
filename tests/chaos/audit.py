"""The checks after the storm: counts by SQL, bits of the calm twin, and `job verify`."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from job.errors import JobError
from job.storage.store import open_store
from tests.chaos.experiments import Subject

BITS = ("weights_sha256", "history_sha256", "predictions_sha256", "value", "parameters", "state")


def counts(subject: Subject) -> list[str]:
    """Return what is wrong with the numbers of a subject.

    Every task must be decided by one attempt, no attempt may be open, and Optuna must have as
    many trials in each state.
    """
    tasks = {
        _key(row): row["state"]
        for row in subject.database.rows("select model, stage, index, state from task")
    }
    faults = [
        *_wrong_tasks(subject, tasks),
        *_wrong_attempts(subject),
        *_wrong_trials(subject, tasks),
    ]
    return [f"{subject.label}: {fault}" for fault in faults]


def _key(row: dict) -> tuple[str, str, int]:
    return row["model"], row["stage"], row["index"]


def _wanted(subject: Subject) -> set[tuple[str, str, int]]:
    return {(k.model, k.stage, k.index) for k in subject.keys()}


def _wrong_tasks(subject: Subject, tasks: dict[tuple, str]) -> list[str]:
    """Return the tasks that are missing, unknown or undecided."""
    wanted = _wanted(subject)
    faults = []
    if tasks.keys() != wanted:
        odd = sorted(tasks.keys() ^ wanted)
        faults.append(f"{len(tasks)} tasks, expected {len(wanted)}: {odd}")
    if undecided := {k: s for k, s in tasks.items() if s not in ("complete", "pruned")}:
        faults.append(f"not decided: {undecided}")
    return faults


def _wrong_attempts(subject: Subject) -> list[str]:
    """Return the tasks not finished by exactly one attempt, and the attempts that are open."""
    rows = subject.database.rows
    finishing = Counter(
        _key(row)
        for row in rows(
            "select model, stage, index from attempt where outcome in ('complete', 'pruned')"
        )
    )
    faults = []
    if wrong := {k: finishing[k] for k in _wanted(subject) if finishing[k] != 1}:
        faults.append(f"finishing attempts other than one: {wrong}")
    if left := rows("select model, stage, index, number from attempt where outcome is null"):
        faults.append(f"attempts without an end: {left}")
    return faults


def _wrong_trials(subject: Subject, tasks: dict[tuple, str]) -> list[str]:
    """Return how Optuna's trials differ from ours."""
    trials = Counter(state for (_, stage, _), state in tasks.items() if stage == "trial")
    states = subject.database.rows(
        "select state::text, count(*)::int as n from trials group by state"
    )
    optuna = Counter({row["state"].lower(): row["n"] for row in states})
    if optuna == trials and optuna.total() == sum(k.stage == "trial" for k in subject.keys()):
        return []
    return [f"Optuna's trials are {dict(optuna)}, ours {dict(trials)}"]


def attempts(subject: Subject) -> tuple[int, int, dict[str, int]]:
    """Return the number of tasks, the most attempts of one task, and the attempts by outcome."""
    rows = subject.database.rows("select model, stage, index, outcome from attempt")
    longest = max(Counter(map(_key, rows)).values(), default=0)
    return len(subject.keys()), longest, dict(Counter(row["outcome"] for row in rows))


def differences(subject: Subject, calm: Subject) -> list[str]:
    """Return every task whose bits are not those of the calm twin."""
    ours = _bits(subject)
    theirs = _bits(calm)
    faults = []
    for key in sorted(ours.keys() | theirs.keys()):
        a = ours.get(key, {})
        b = theirs.get(key, {})
        if a != b:
            name = " ".join(map(str, key))
            different = [n for n in a | b if a.get(n) != b.get(n)]
            faults.append(f"{subject.label} {name} differs from {calm.label} in {different}")
    return faults


def _bits(subject: Subject) -> dict[tuple, dict]:
    """Return, for every task, what the experiment's file alone determines.

    These are its hashes, its value, its parameters, and the rows of its epochs.
    """
    store = open_store(subject.store_url, 30)
    bits = {}
    for row in subject.database.rows(
        "select model, stage, index, artifact from task where state in ('complete', 'pruned')"
    ):
        bits[_key(row)] = _artifact_bits(store, row["stage"], row["artifact"])
    for row in subject.database.rows(
        "select model, stage, index, epoch, metrics, value, pruned from epoch order by epoch"
    ):
        epochs = bits.setdefault(_key(row), {}).setdefault("epochs", [])
        epochs.append([row["epoch"], row["metrics"], row["value"], row["pruned"]])
    return bits


def _artifact_bits(store, stage: str, artifact: dict) -> dict:
    """Return the hashes of an artifact and the values of its result."""
    if stage == "features":
        return {"features_sha256": artifact["features.npy"]["sha256"]}
    result = json.loads(store.get(artifact["result.json"]["key"]))
    files = {file: artifact[file]["sha256"] for file in ("history.csv", "predictions.npz")}
    return {name: result[name] for name in BITS} | files


def verify(*commands: tuple[Subject, list[str]]) -> list[str]:
    """Run `job verify` over experiments in parallel; return the output of those that fail."""

    def one(command):
        subject, arguments = command
        try:
            subject.job("verify", *arguments)
            return []
        except JobError as exc:
            return [str(exc)]

    with ThreadPoolExecutor() as pool:
        return [fault for faults in pool.map(one, commands) for fault in faults]
