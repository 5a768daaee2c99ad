"""Optuna: sampling, and its own rows for its dashboard; the only importer of optuna.

The task decides, Optuna's rows follow (by trigger, see schema.sql). What a sampler is to know comes from
the tasks in one query, as large for ten thousand trials as for five hundred; trial number and task index
are one number. Pruners decide in the database, with the epoch they decide on (`report` in tasks.sql).
"""

import binascii
import math
from contextlib import contextmanager, suppress
from itertools import accumulate

import optuna
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from job.coordination.connection import translate
from job.coordination.database import Database, queries
from job.errors import Invalid, Unreachable
from job.experiment.experiment import TPE_STARTUP_TRIALS, Experiment
from job.experiment.parameters import Choice
from job.experiment.task import Key
from job.randomness import derive
from job.settings import redact

SQL = queries("study")
REDUCTION_FACTOR = 3
SHOWN_BEST, SHOWN_RUNNING, SHOWN_SPREAD = (
    25,
    100,
    500,
)  # of a model's trials; TPE never takes more than 25 for good
FANOVA_SEED = 0
EXPECTED_SHARE = {"none": 1.0, "median": 0.5, "hyperband": 0.35}  # of a trial's epochs, on average

optuna.logging.set_verbosity(optuna.logging.WARNING)


def create(database: Database, experiment: Experiment) -> dict[str, int]:
    """Create the study `experiment/model` of each model unless it is there; return their ids.

    The caller holds the lock: Optuna's own table creation is not safe for several at once.
    """
    with _told(database):
        storage = _storage(database)
        names = {model: f"{experiment.name}/{model}" for model in experiment.models}
        for name in names.values():
            optuna.create_study(
                study_name=name,
                storage=storage,
                direction=experiment.direction,
                load_if_exists=True,
            )
        return {model: storage.get_study_id_from_name(name) for model, name in names.items()}


def add_trials(cursor, experiment_id: str, model: str, study_id: int, trials: int) -> None:
    """Create a WAITING trial for each task of a model and bind the two, in the caller's transaction."""
    values = {"experiment": experiment_id, "model": model, "study": study_id, "trials": trials}
    for statement in ("add_trials", "many_rows", "bind_trials"):
        cursor.execute(SQL[statement], values)


def drop(database: Database, experiment: Experiment) -> None:
    """Remove the studies of an experiment."""
    with _told(database):
        storage = _storage(database)
        for model in experiment.models:
            with suppress(KeyError):  # gone already
                optuna.delete_study(study_name=f"{experiment.name}/{model}", storage=storage)


@contextmanager
def _told(database: Database):
    """Say Optuna's errors in our words."""
    try:
        yield
    except (
        optuna.exceptions.StorageInternalError,
        SQLAlchemyError,
        KeyError,
    ) as exc:  # KeyError: the study just made is gone
        root = (
            exc.__cause__ if isinstance(exc, optuna.exceptions.StorageInternalError) else exc
        )  # which says that the data may be invalid
        error = translate(root.orig, database.where) if isinstance(root, DBAPIError) else None
        if isinstance(error, Invalid):
            raise error from exc
        words = str(getattr(root, "orig", root)).partition("\n")[0]
        raise Unreachable(f"Optuna's tables could not be reached: {redact(words)}") from exc
    except RuntimeError as exc:
        raise Invalid(
            f"Optuna's tables in the database are of another version: {redact(str(exc))}; use an empty database"
        ) from exc


def distributions(experiment: Experiment, model: str) -> dict:
    """Return the search space of a model in Optuna's terms."""
    return {name: _distribution(space) for name, space in experiment.space(model).items()}


def choose(experiment: Experiment, attempt) -> None:
    """Give an attempt at a trial its parameters, unless an earlier one has: written as Optuna's rows, too."""
    if attempt.parameters is None:
        chosen = suggest(
            experiment, attempt.key, _shown(attempt.tasks.database, experiment, attempt.values)
        )
        attempt.set_parameters(chosen, internal(experiment, attempt.key.model, chosen))


def suggest(experiment: Experiment, key: Key, history: list[dict]) -> dict:
    """Return the parameters of a trial.

    Args: history: trials as `history` in study.sql shows them.
    """
    space = distributions(experiment, key.model)
    storage = InMemoryStorage()
    # Without a pruner: beside hyperband, Optuna's samplers would learn from the trials of one bracket only, a quarter of them.
    study = optuna.create_study(
        storage=storage, direction=experiment.direction, sampler=sampler(experiment, key)
    )
    for row in history:
        storage.create_new_trial(study._study_id, _frozen(row, space))
    if key.index < len(experiment.enqueue):
        study.enqueue_trial({k: v for k, v in experiment.enqueue[key.index].items() if k in space})
    return study.ask(space).params


def internal(experiment: Experiment, model: str, parameters: dict) -> list[dict]:
    """Return the parameters of a trial as Optuna's tables have them."""
    return [
        {
            "name": name,
            "internal": float(space.to_internal_repr(parameters[name])),
            "distribution": distribution_to_json(space),
        }
        for name, space in distributions(experiment, model).items()
    ]


def rule(experiment: Experiment, key: Key, epoch: int) -> dict:
    """Return by what rule a trial is judged after an epoch (from 0): a pruner and, for hyperband, the bracket; no pruner if it is not.

    After its last epoch a trial is complete.
    """
    least, epochs = experiment.search["min_epochs"], experiment.models[key.model]["epochs"]
    name, bracket = experiment.search["pruner"], None
    if name == "hyperband":
        bracket = bracket_of(
            f"{experiment.name}/{key.model}", key.index, least, epochs, experiment.method
        )
        asked = epoch + 1 in [
            least * REDUCTION_FACTOR**rung
            for rung in range(bracket, brackets(least, epochs, experiment.method))
        ]
    else:
        asked = name == "median" and epoch + 1 >= least
    if key.stage != "trial" or not asked or epoch + 1 >= epochs:
        return {"pruner": None, "bracket": None, "sign": experiment.sign}
    return {"pruner": name, "bracket": bracket, "sign": experiment.sign}


def bracket_of(study: str, trial: int, least: int, epochs: int, method: int) -> int:
    """Return hyperband's bracket of a trial, as Optuna hands them out: at random, the earlier rungs begin the more of them.

    Source: Li et al. 2018, "Hyperband"; Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning".
    """
    count = brackets(least, epochs, method)
    shares = [math.ceil(count * REDUCTION_FACTOR**s / (s + 1)) for s in reversed(range(count))]
    drawn = binascii.crc32(f"{study}_{trial}".encode()) % sum(shares)
    return next(bracket for bracket, upto in enumerate(accumulate(shares)) if drawn < upto)


def importances(
    experiment: Experiment, model: str, trials: list[tuple[dict, float]]
) -> dict[str, float]:
    """Return how much of the spread of the values each searched parameter explains by itself, largest first, together 1.

    By fANOVA: a forest of trees, and the variance of its prediction as one parameter moves and the others are averaged over.
    A log range is handed over by its logarithm, as it was searched: else four fifths of 1e-4..1e-2 would be above 0.002.

    Args: trials: parameters and value of each complete trial; the values differ.
    Source: Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance".
    """
    space = distributions(experiment, model)
    logs = {name for name, distribution in space.items() if getattr(distribution, "log", False)}
    space |= {
        name: FloatDistribution(math.log(space[name].low), math.log(space[name].high))
        for name in logs
    }
    study = optuna.create_study(direction=experiment.direction)
    for parameters, value in trials:
        moved = {
            name: math.log(parameters[name]) if name in logs else parameters[name] for name in space
        }
        study.add_trial(create_trial(params=moved, distributions=space, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=FANOVA_SEED)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def reader(database: Database) -> RDBStorage:
    """Return a storage for Optuna's dashboard: every transaction is read-only, and the server refuses a write. Nothing is created."""
    return _storage(
        database, skip_table_creation=True, execution_options={"postgresql_readonly": True}
    )


def _storage(database: Database, skip_table_creation: bool = False, **engine) -> RDBStorage:
    """Return Optuna's own storage on our database; it keeps no connection."""
    kwargs = {"poolclass": NullPool, "creator": database.lent} | engine
    return RDBStorage(
        "postgresql+psycopg2://", engine_kwargs=kwargs, skip_table_creation=skip_table_creation
    )


def _shown(database: Database, experiment: Experiment, values: dict) -> list[dict]:
    """Return the history for `suggest`; none for random search."""
    if experiment.search["sampler"] == "random":
        return []
    limits = {
        "best": SHOWN_BEST,
        "running": SHOWN_RUNNING,
        "spread": SHOWN_SPREAD,
        "sign": experiment.sign,
    }
    return database.rows(SQL["history"], **values | limits)


def sampler(experiment: Experiment, key: Key) -> optuna.samplers.BaseSampler:
    """Return a sampler seeded for this task: one seed for all would draw one point for all."""
    seed = derive(experiment.seed, key.model, key.stage, key.index, "sampler")
    if experiment.search["sampler"] == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=TPE_STARTUP_TRIALS, multivariate=True, constant_liar=True
    )


def brackets(least: int, epochs: int, method: int) -> int:
    """Return how many brackets hyperband has: one for each rung of `least`, 3 `least`, 9 `least`... epochs up to all of them.

    By method 1 as Optuna 5.0 does, by a logarithm, which rounds to one too few where epochs are 243 or 59,049 times `least`.
    """
    if method == 1:
        return math.floor(math.log(epochs / least, REDUCTION_FACTOR)) + 1
    count = 0
    while least * REDUCTION_FACTOR**count <= epochs:
        count += 1
    return count


class _Uncopied(FrozenTrial):
    """A trial that nobody changes: the storage need not copy it, which took longer than all of TPE."""

    def __deepcopy__(self, memo):
        return self


def _frozen(row: dict, space: dict) -> FrozenTrial:
    """Return a task as Optuna sees a trial."""
    state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(
        row["state"], TrialState.RUNNING
    )
    return _Uncopied(
        number=-1,  # the storage counts
        trial_id=-1,
        state=state,
        value=row["value"] if state == TrialState.COMPLETE else None,
        params=row["parameters"],
        distributions=space,
        intermediate_values={row["epochs"]: row["value"]}
        if row["epochs"] and row["value"] is not None
        else {},
        user_attrs={},
        system_attrs={},
        datetime_start=None,
        datetime_complete=None,
    )


def _distribution(space):
    if isinstance(space, Choice):
        return CategoricalDistribution(space.values)
    if space.whole:
        return IntDistribution(space.low, space.high, log=space.log, step=space.step or 1)
    return FloatDistribution(space.low, space.high, log=space.log, step=space.step)
