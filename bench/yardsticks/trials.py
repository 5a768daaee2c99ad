"""The same trials by stock Optuna: its RDBStorage, and the sampler and pruner that ours match."""

import optuna

from job.coordination import study
from job.experiment.experiment import TPE_STARTUP_TRIALS
from job.experiment.specification import parse

optuna.logging.set_verbosity(optuna.logging.ERROR)


def create(url: str, spec: dict) -> None:
    """Create the tables and the study unless they exist, as each process of a script does first."""
    optuna.create_study(
        storage=_storage(url),
        study_name=f"{spec['name']}/cnn",
        direction="maximize",
        load_if_exists=True,
    )


def sampler(kind: str, seed: int | None = None) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler with our settings."""
    if kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=TPE_STARTUP_TRIALS, multivariate=True, constant_liar=True
    )


def _storage(url: str) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(url.replace("postgresql://", "postgresql+psycopg2://", 1))


class Stock:
    """A process of a script with `study.ask` and `study.tell`."""

    def __init__(self, url: str, spec: dict):
        self.space = study.distributions(parse(spec), "cnn")
        self.study = optuna.load_study(
            study_name=f"{spec['name']}/cnn",
            storage=_storage(url),
            sampler=sampler(spec["search"]["sampler"]),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
        )

    def take(self, index: int) -> optuna.Trial:
        """Ask for the next trial; Optuna numbers it itself."""
        return self.study.ask(self.space)

    def report(self, trial: optuna.Trial, epoch: int, value: float) -> bool:
        """Report an epoch, counted from 0; return whether to prune."""
        trial.report(value, epoch + 1)
        return trial.should_prune()

    def finish(self, trial: optuna.Trial, value: float) -> None:
        """Finish the trial with its value."""
        self.study.tell(trial, value)

    def nothing(self, index: int) -> None:
        """Take and finish a trial whose objective takes no time."""
        self.finish(self.take(index), 0.5)
