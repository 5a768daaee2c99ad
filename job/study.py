"""Optuna: sampling, pruning, and its own rows for its dashboard; the only importer of optuna.

The task decides, Optuna's rows follow (by trigger, see schema.sql). What sampler and pruner need to
know comes from the tasks in one query; trial number and task index are one number.
"""

import math

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from job.database import Database, queries
from job.errors import Invalid, Unreachable
from job.experiment import TPE_STARTUP_TRIALS, Experiment
from job.index import Key
from job.parameters import Choice
from job.randomness import derive
from job.settings import redact

SQL = queries("study")
REDUCTION_FACTOR = 3
FANOVA_SEED = 0
EXPECTED_SHARE = {"none": 1.0, "median": 0.5, "hyperband": 0.35}  # of a trial's epochs, on average

optuna.logging.set_verbosity(optuna.logging.WARNING)


def create(database: Database, experiment: Experiment) -> dict[str, int]:
    """Create the study `experiment/model` of each model unless it is there; return their ids.

    The caller holds the lock: Optuna's own table creation is not safe for several at once.
    """
    try:
        storage = _storage(database)
        names = {model: f"{experiment.name}/{model}" for model in experiment.models}
        for name in names.values():
            optuna.create_study(study_name=name, storage=storage, direction=experiment.direction, load_if_exists=True)
        return {model: storage.get_study_id_from_name(name) for model, name in names.items()}
    except (optuna.exceptions.StorageInternalError, OperationalError) as exc:
        raise Unreachable(f"Optuna's tables could not be reached: {redact(str(exc))}") from exc
    except RuntimeError as exc:
        raise Invalid(f"Optuna's tables in the database are of another version: {redact(str(exc))}; use an empty database") from exc


def add_trials(cursor, experiment_id: str, model: str, study_id: int, trials: int) -> None:
    """Create a WAITING trial for each task of a model and bind the two, in the caller's transaction."""
    values = {"experiment": experiment_id, "model": model, "study": study_id, "trials": trials}
    cursor.execute(SQL["add_trials"], values)
    cursor.execute(SQL["bind_trials"], values)


def drop(database: Database, experiment: Experiment) -> None:
    """Remove the studies of an experiment."""
    storage = _storage(database)
    for model in experiment.models:
        try:
            optuna.delete_study(study_name=f"{experiment.name}/{model}", storage=storage)
        except KeyError:  # gone already
            continue


def distributions(experiment: Experiment, model: str) -> dict:
    """Return the search space of a model in Optuna's terms."""
    return {name: _distribution(space) for name, space in experiment.space(model).items()}


def suggest(experiment: Experiment, key: Key, values: dict, cursor) -> dict:
    """Return the parameters of a trial, and write them as Optuna's rows, in the caller's transaction."""
    space = distributions(experiment, key.model)
    study, storage = _study(experiment, key, values, cursor)
    if key.index < len(experiment.enqueue):
        point = {k: v for k, v in experiment.enqueue[key.index].items() if k in space}
        storage.set_trial_system_attr(key.index, "fixed_params", point)
    storage.set_trial_state_values(key.index, TrialState.RUNNING)
    trial = optuna.trial.Trial(study, key.index)
    chosen = {name: trial._suggest(name, distribution) for name, distribution in space.items()}
    for name, value in chosen.items():
        cursor.execute(
            SQL["add_parameter"],
            values | {"name": name, "internal": space[name].to_internal_repr(value), "distribution": distribution_to_json(space[name])},
        )
    return chosen


def prunes(experiment: Experiment, model: str, epoch: int) -> bool:
    """Return whether the pruner is to be asked after an epoch (from 0). After the last one a trial is complete."""
    return experiment.search["pruner"] != "none" and epoch + 1 < experiment.models[model]["epochs"]


def decide(experiment: Experiment, key: Key, values: dict, epoch: int, value: float, cursor) -> tuple[bool, dict]:
    """Return whether Optuna's pruner ends this trial after an epoch (from 0), and the rungs it noted."""
    if not prunes(experiment, key.model, epoch):
        return False, {}
    study, storage = _study(experiment, key, values, cursor)
    storage.set_trial_intermediate_value(key.index, epoch + 1, value)
    before = set(storage.get_trial(key.index).system_attrs)
    pruned = study.pruner.prune(study, storage.get_trial(key.index))
    after = storage.get_trial(key.index).system_attrs
    return bool(pruned), {k: v for k, v in after.items() if k not in before}


def importances(experiment: Experiment, model: str, trials: list[tuple[dict, float]]) -> dict[str, float]:
    """Return how much of the spread of the values each searched parameter explains by itself, largest first, together 1.

    By fANOVA: a forest of trees, and the variance of its prediction as one parameter moves and the others are averaged over.
    A log range is handed over by its logarithm, as it was searched: else four fifths of 1e-4..1e-2 would be above 0.002.

    Args: trials: parameters and value of each complete trial; the values differ.
    Source: Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance".
    """
    space = distributions(experiment, model)
    logs = {name for name, distribution in space.items() if getattr(distribution, "log", False)}
    space |= {name: FloatDistribution(math.log(space[name].low), math.log(space[name].high)) for name in logs}
    study = optuna.create_study(direction=experiment.direction)
    for parameters, value in trials:
        moved = {name: math.log(parameters[name]) if name in logs else parameters[name] for name in space}
        study.add_trial(create_trial(params=moved, distributions=space, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=FANOVA_SEED)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def reader(database: Database) -> RDBStorage:
    """Return a storage for Optuna's dashboard: every transaction is read-only, and the server refuses a write. Nothing is created."""
    return _storage(database, skip_table_creation=True, execution_options={"postgresql_readonly": True})


def _storage(database: Database, skip_table_creation: bool = False, **engine) -> RDBStorage:
    """Return Optuna's own storage on our database; it keeps no connection."""
    url = database.url.replace("postgresql://", "postgresql+psycopg2://", 1)
    return RDBStorage(url, engine_kwargs={"poolclass": NullPool} | engine, skip_table_creation=skip_table_creation)


def _study(experiment: Experiment, key: Key, values: dict, cursor) -> tuple[optuna.Study, InMemoryStorage]:
    """Return the model's study as it is now, in memory: trial id, number and task index are one."""
    cursor.execute(SQL["history"], values)
    storage = InMemoryStorage()
    study = optuna.create_study(
        study_name=f"{experiment.name}/{key.model}",
        storage=storage,
        direction=experiment.direction,
        sampler=sampler(experiment, key),
        pruner=pruner(experiment, key.model),
    )
    space = distributions(experiment, key.model)
    for row in cursor.fetchall():
        storage.create_new_trial(study._study_id, _frozen(row, space))
    return study, storage


def sampler(experiment: Experiment, key: Key) -> optuna.samplers.BaseSampler:
    """Return a sampler seeded for this task: one seed for all would draw one point for all."""
    seed = derive(experiment.seed, key.model, key.stage, key.index, "sampler")
    if experiment.search["sampler"] == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=TPE_STARTUP_TRIALS, multivariate=True, constant_liar=True)


def pruner(experiment: Experiment, model: str) -> optuna.pruners.BasePruner:
    """Return the pruner; its resource is the number of epochs done."""
    least, epochs = experiment.search["min_epochs"], experiment.models[model]["epochs"]
    if experiment.search["pruner"] == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=least, max_resource=epochs, reduction_factor=REDUCTION_FACTOR)
    if experiment.search["pruner"] == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=least)
    return optuna.pruners.NopPruner()


def _frozen(row: dict, space: dict) -> FrozenTrial:
    """Return a task as Optuna sees a trial."""
    state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}.get(row["state"], TrialState.RUNNING)
    if row["parameters"] is None and not state.is_finished():
        return create_trial(state=TrialState.WAITING)
    rungs = {k: v for noted in row["rungs"] or [] for k, v in noted.items()}
    return create_trial(
        state=state,
        value=row["value"] if state == TrialState.COMPLETE else None,
        params=row["parameters"] or {},
        distributions={n: space[n] for n in row["parameters"] or {}},
        intermediate_values={int(k): v for k, v in (row["steps"] or {}).items()},
        system_attrs=rungs,
    )


def _distribution(space):
    if isinstance(space, Choice):
        return CategoricalDistribution(space.values)
    if space.whole:
        return IntDistribution(space.low, space.high, log=space.log, step=space.step or 1)
    return FloatDistribution(space.low, space.high, log=space.log, step=space.step)
