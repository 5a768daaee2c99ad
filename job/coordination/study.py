# pyright: strict
"""Optuna: sampling, and its own rows for its dashboard; the only importer of optuna.

The task decides, and Optuna's rows follow by trigger (schema.sql). What a sampler needs to know
comes from the tasks in one query, which is as large for ten thousand trials as for five hundred.
Trial number and task index are one number. Pruners decide in the database, with the epoch they
decide on (`report` in tasks.sql).
"""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from job.coordination.attempt import Attempt
from job.coordination.connection import Cursor
from job.coordination.database import Database
from job.coordination.history import PastTrial, past_trials
from job.coordination.hyperband import bracket_of, is_rung
from job.coordination.statements import queries
from job.coordination.trouble import Error, translate
from job.errors import Invalid, JobError, Unreachable
from job.experiment.experiment import TPE_STARTUP_TRIALS, Experiment
from job.experiment.kinds import Choice, Range
from job.experiment.task import Key
from job.randomness import derive
from job.settings import redact

SQL = queries("study")
FANOVA_SEED = 0
# Of a trial's epochs, on average, by pruner.
EXPECTED_SHARE = {"none": 1.0, "median": 0.5, "hyperband": 0.35}
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}

optuna.logging.set_verbosity(optuna.logging.WARNING)


def create(database: Database, experiment: Experiment) -> dict[str, int]:
    """Create the study `experiment/model` of each model unless it exists; return their ids.

    The caller holds the lock: Optuna's own table creation is not safe for several processes at
    once.

    Raises: Invalid; Unreachable.
    """
    with _our_errors(database):
        storage = _storage(database)
        ids: dict[str, int] = {}
        for model, name in _names(experiment):
            optuna.create_study(
                study_name=name,
                storage=storage,
                direction=_direction(experiment),
                load_if_exists=True,
            )
            ids[model] = storage.get_study_id_from_name(name)
        return ids


def add_trials(cursor: Cursor, experiment_id: str, model: str, study_id: int, trials: int) -> None:
    """Create a WAITING trial for each task of a model and bind the two.

    Args:
        cursor: of the caller's transaction.
        experiment_id: whose tasks.
        model: whose tasks.
        study_id: of the model's study in Optuna's tables.
        trials: how many the model has.
    """
    values = {"experiment": experiment_id, "model": model, "study": study_id, "trials": trials}
    for statement in ("add_trials", "many_rows", "bind_trials"):
        cursor.execute(SQL[statement], values)


def drop(database: Database, experiment: Experiment) -> None:
    """Remove the studies of an experiment. Raises: Invalid; Unreachable."""
    with _our_errors(database):
        storage = _storage(database)
        for _, name in _names(experiment):
            with suppress(KeyError):  # already removed
                optuna.delete_study(study_name=name, storage=storage)


def _names(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield each model with the name of its study."""
    for model in experiment.models:
        yield model, f"{experiment.name}/{model}"


def _direction(experiment: Experiment) -> StudyDirection:
    return StudyDirection.MAXIMIZE if experiment.sign > 0 else StudyDirection.MINIMIZE


@contextmanager
def _our_errors(database: Database) -> Generator[None]:
    """Raise ours instead of Optuna's errors. Raises: Invalid; Unreachable."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError, KeyError) as exc:
        # A KeyError means that the study just made is gone.
        raise _translated(exc, database.where) from exc
    except RuntimeError as exc:
        raise Invalid(
            f"Optuna's tables in the database have another version: {redact(str(exc))};"
            " use an empty database"
        ) from exc


def _translated(exc: Exception, where: str) -> JobError:
    """Return our error for what went wrong in Optuna's storage."""
    # Optuna's own words say that the data may be invalid.
    root = exc.__cause__ if isinstance(exc, StorageInternalError) else exc
    cause = root.orig if isinstance(root, DBAPIError) else None
    error = translate(cause, where) if isinstance(cause, Error) else None
    if isinstance(error, Invalid):
        return error
    words = str(getattr(root, "orig", root)).partition("\n")[0]
    return Unreachable(f"Optuna's tables could not be reached: {redact(words)}")


def distributions(experiment: Experiment, model: str) -> dict[str, BaseDistribution]:
    """Return the search space of a model in Optuna's terms."""
    return {name: _distribution(space) for name, space in experiment.space(model).items()}


def _distribution(space: Choice | Range) -> BaseDistribution:
    if isinstance(space, Choice):
        return CategoricalDistribution(space.values)
    if space.whole:
        return IntDistribution(
            int(space.low), int(space.high), log=space.log, step=int(space.step or 1)
        )
    return FloatDistribution(space.low, space.high, log=space.log, step=space.step)


def choose(experiment: Experiment, attempt: Attempt) -> None:
    """Give an attempt at a trial its parameters, unless an earlier one has chosen them.

    They are written to Optuna's rows, too.
    """
    if attempt.parameters is not None:
        return
    history = past_trials(attempt.database, experiment, attempt.values)
    chosen = suggest(experiment, attempt.key, history)
    attempt.set_parameters(chosen, internal(experiment, attempt.key.model, chosen))


def suggest(experiment: Experiment, key: Key, history: Sequence[PastTrial]) -> dict[str, Any]:
    """Return the parameters of a trial."""
    space = distributions(experiment, key.model)
    storage = InMemoryStorage()
    # Without a pruner: beside hyperband, Optuna's samplers would learn from the trials of one
    # bracket only, a quarter of them.
    study = optuna.create_study(
        storage=storage, direction=_direction(experiment), sampler=sampler(experiment, key)
    )
    study_id = study._study_id  # pyright: ignore[reportPrivateUsage]: optuna has no public name
    for trial in history:
        storage.create_new_trial(study_id, _frozen(trial, space))
    if key.index < len(experiment.enqueue):
        enqueued = experiment.enqueue[key.index]
        study.enqueue_trial({name: v for name, v in enqueued.items() if name in space})
    return study.ask(space).params


def sampler(experiment: Experiment, key: Key) -> optuna.samplers.BaseSampler:
    """Return a sampler seeded for this task: one seed for all would draw one point for all."""
    seed = derive(experiment.seed, key.model, key.stage, key.index, "sampler")
    if experiment.search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=TPE_STARTUP_TRIALS, multivariate=True, constant_liar=True
    )


class _Uncopied(FrozenTrial):
    """A trial that nobody changes, so the storage need not copy it.

    Copying took longer than all of TPE.
    """

    def __deepcopy__(self, memo: object) -> "_Uncopied":
        return self


def _frozen(trial: PastTrial, space: dict[str, BaseDistribution]) -> FrozenTrial:
    """Return a task as Optuna sees a trial."""
    state = STATES.get(trial.state, TrialState.RUNNING)
    values: dict[int, float] = {}
    if trial.epochs and trial.value is not None:
        values[trial.epochs] = trial.value
    return _Uncopied(
        number=-1,  # the storage counts
        trial_id=-1,
        state=state,
        value=trial.value if state == TrialState.COMPLETE else None,
        params=trial.parameters,
        distributions=space,
        intermediate_values=values,
        user_attrs={},
        system_attrs={},
        datetime_start=None,
        datetime_complete=None,
    )


def internal(
    experiment: Experiment, model: str, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the parameters of a trial as Optuna's tables have them."""
    return [
        {
            "name": name,
            "internal": float(space.to_internal_repr(parameters[name])),
            "distribution": distribution_to_json(space),
        }
        for name, space in distributions(experiment, model).items()
    ]


def rule(experiment: Experiment, key: Key, epoch: int) -> dict[str, Any]:
    """Return the rule that judges a trial after an epoch.

    After its last epoch a trial is complete, and no rule judges it.

    Args:
        experiment: whose pruner.
        key: the task; only trials are judged.
        epoch: from 0.

    Returns: `pruner`, None if the trial is not judged; `bracket`, for hyperband only; `sign`.
    """
    unjudged = {"pruner": None, "bracket": None, "sign": experiment.sign}
    pruner = experiment.search.pruner
    least = experiment.search.min_epochs
    epochs = experiment.epochs("trial", key.model)
    done = epoch + 1
    if key.stage != "trial" or done >= epochs:
        return unjudged
    if pruner == "median" and done >= least:
        return unjudged | {"pruner": pruner}
    if pruner == "hyperband":
        study = f"{experiment.name}/{key.model}"
        bracket = bracket_of(study, key.index, least, epochs, experiment.method)
        if is_rung(done, bracket, least, epochs, experiment.method):
            return unjudged | {"pruner": pruner, "bracket": bracket}
    return unjudged


def importances(
    experiment: Experiment, model: str, trials: Sequence[tuple[dict[str, Any], float]]
) -> dict[str, float]:
    """Return how much of the spread of the values each searched parameter explains by itself.

    By fANOVA: a forest of trees, and the variance of its prediction as one parameter moves and the
    others are averaged over. A log range is passed by its logarithm, as it was searched. Otherwise
    four fifths of 1e-4..1e-2 would be above 0.002.

    Args:
        experiment: whose search space.
        model: whose search space.
        trials: parameters and value of each complete trial; the values differ.

    Returns: parameter -> share, largest first, together 1.
    Source: Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance".
    """
    space = distributions(experiment, model)
    logs: set[str] = set()
    for name, distribution in space.items():
        if isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log:
            logs.add(name)
            low = math.log(distribution.low)
            space[name] = FloatDistribution(low, math.log(distribution.high))
    study = optuna.create_study(direction=_direction(experiment))
    for parameters, value in trials:
        moved = {n: math.log(parameters[n]) if n in logs else parameters[n] for n in space}
        study.add_trial(create_trial(params=moved, distributions=space, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=FANOVA_SEED)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def open_reader(database: Database) -> RDBStorage:
    """Return a storage for Optuna's dashboard.

    Every transaction is read-only, and the server refuses a write. Nothing is created.
    """
    return _storage(
        database, skip_table_creation=True, execution_options={"postgresql_readonly": True}
    )


def _storage(database: Database, skip_table_creation: bool = False, **engine: Any) -> RDBStorage:
    """Return Optuna's own storage on our database; it keeps no connection."""
    kwargs = {"poolclass": NullPool, "creator": database.lend} | engine
    return RDBStorage(
        "postgresql+psycopg2://", engine_kwargs=kwargs, skip_table_creation=skip_table_creation
    )
