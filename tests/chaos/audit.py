"""What must be true after the storm: counts by SQL, bits against the calm twin, and the product's own word."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from job.errors import JobError
from job.storage.store import open_store
from tests.chaos.experiments import Subject

BITS = ("weights_sha256", "history_sha256", "predictions_sha256", "value", "parameters", "state")


def counts(subject: Subject) -> list[str]:
    """Return what is wrong with the numbers: exactly N tasks decided, by one attempt each, and as many Optuna trials."""
    rows, keys = subject.database.rows, subject.keys()
    tasks = {
        (r["model"], r["stage"], r["index"]): r["state"]
        for r in rows("select model, stage, index, state from task")
    }
    wanted = {(k.model, k.stage, k.index) for k in keys}
    found = []
    if tasks.keys() != wanted:
        found.append(f"{len(tasks)} tasks, expected {len(wanted)}: {sorted(tasks.keys() ^ wanted)}")
    if undecided := {k: s for k, s in tasks.items() if s not in ("complete", "pruned")}:
        found.append(f"not decided: {undecided}")
    finishing = Counter(
        (r["model"], r["stage"], r["index"])
        for r in rows(
            "select model, stage, index from attempt where outcome in ('complete', 'pruned')"
        )
    )
    if wrong := {k: finishing[k] for k in wanted if finishing[k] != 1}:
        found.append(f"finishing attempts other than one: {wrong}")
    if left := rows("select model, stage, index, number from attempt where outcome is null"):
        found.append(f"attempts without an end: {left}")
    trials = Counter(state for (_, stage, _), state in tasks.items() if stage == "trial")
    optuna = Counter(
        {
            r["state"].lower(): r["n"]
            for r in rows("select state::text, count(*)::int as n from trials group by state")
        }
    )
    if optuna != trials or optuna.total() != sum(k.stage == "trial" for k in keys):
        found.append(f"Optuna's trials are {dict(optuna)}, ours {dict(trials)}")
    return [f"{subject.label}: {what}" for what in found]


def attempts(subject: Subject) -> tuple[int, int, dict[str, int]]:
    """Return the number of tasks, the longest row of attempts of one, and the attempts by outcome."""
    rows = subject.database.rows("select model, stage, index, outcome from attempt")
    longest = Counter((r["model"], r["stage"], r["index"]) for r in rows)
    return (
        len(subject.keys()),
        max(longest.values(), default=0),
        dict(Counter(r["outcome"] for r in rows)),
    )


def differences(subject: Subject, calm: Subject) -> list[str]:
    """Return every task whose bits are not those of the calm twin."""
    ours, theirs = _bits(subject), _bits(calm)
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key, {}), theirs.get(key, {})
        if a != b:
            found.append(
                f"{subject.label} {' '.join(map(str, key))} differs from {calm.label} in {[n for n in a | b if a.get(n) != b.get(n)]}"
            )
    return found


def _bits(subject: Subject) -> dict[tuple, dict]:
    """Return what is given by the file alone, of every task: hashes, value, parameters, and the epochs' rows."""
    store, bits = open_store(subject.store_url, 30), {}
    for row in subject.database.rows(
        "select model, stage, index, artifact from task where state in ('complete', 'pruned')"
    ):
        artifact = row["artifact"]
        if row["stage"] == "features":
            values = {"features_sha256": artifact["features.npy"]["sha256"]}
        else:
            result = json.loads(store.get(artifact["result.json"]["key"]))
            values = {name: result[name] for name in BITS}
            values |= {
                file: artifact[file]["sha256"] for file in ("history.csv", "predictions.npz")
            }
        bits[row["model"], row["stage"], row["index"]] = values
    for row in subject.database.rows(
        "select model, stage, index, epoch, metrics, value, pruned from epoch order by epoch"
    ):
        key = row["model"], row["stage"], row["index"]
        bits.setdefault(key, {}).setdefault("epochs", []).append(
            [row["epoch"], row["metrics"], row["value"], row["pruned"]]
        )
    return bits


def verify(*commands: tuple[Subject, list[str]]) -> list[str]:
    """Run `job verify` over experiments side by side; return what it says of those it does not pass."""

    def one(command):
        subject, arguments = command
        try:
            subject.job("verify", *arguments)
            return []
        except JobError as exc:
            return [str(exc)]

    with ThreadPoolExecutor() as pool:
        return [what for found in pool.map(one, commands) for what in found]
