# pyright: strict
"""What an experiment as a whole must hold, and which of its settings have no effect."""

from collections.abc import Iterator
from typing import Any

from job.experiment.experiment import TPE_STARTUP_TRIALS, Experiment
from job.experiment.kinds import Choice, Range
from job.experiment.sections import SHIPPED
from job.sentences import expect

# docs/measured/defaults.md
TUNING_RATE = 1e-3
# With Adam's updates, whose size is the rate itself.
ADAM_RATE = 0.03
HYPERBAND_MIN_TRIALS = 20
# Optuna's median pruner prunes nothing before it has seen this many trials.
MEDIAN_STARTUP_TRIALS = 5


def refuse_contradictions(experiment: Experiment) -> None:
    """Raise `Invalid` for settings that are valid alone but cannot work together."""
    search = experiment.search
    if search.pruner == "hyperband":
        expect(
            search.trials >= HYPERBAND_MIN_TRIALS,
            f'search.pruner = "hyperband" with search.trials = {search.trials}:'
            f" its brackets need at least {HYPERBAND_MIN_TRIALS} trials;"
            ' raise trials or use "median"',
        )
    data = experiment.data
    expect(
        data.fit is None or data.image_size is not None,
        f'data.fit = "{data.fit}" without data.image_size: images keep their size, so there is'
        " nothing to fit; set image_size, or remove fit",
    )
    most = experiment.most_repeats
    expect(
        experiment.repeats == 1 or data.validation != SHIPPED,
        f'search.repeats = {experiment.repeats} with data.validation = "{SHIPPED}": each repeat'
        " leaves out other images, and one validation part is shipped; remove one of the keys",
    )
    expect(
        experiment.repeats <= most,
        f"search.repeats = {experiment.repeats}"
        f" with data.validation = {data.validation}:"
        f" each repeat leaves out other images, which is possible {most} times;"
        f" lower repeats, or data.validation to {100 // experiment.repeats / 100}",
    )
    for model, parameters in experiment.models.items():
        epochs = experiment.epochs("trial", model)
        times = f" times search.repeats = {experiment.repeats}" if experiment.repeats > 1 else ""
        expect(
            search.pruner == "none" or search.min_epochs <= epochs,
            f"search.min_epochs = {search.min_epochs}"
            f" is more than models.{model}.epochs = {parameters['epochs']}{times}",
        )


def notes(experiment: Experiment) -> tuple[str, ...]:
    """Return one sentence for each setting that has no effect or is likely a mistake."""
    return (*_notes_on_models(experiment), *_notes_on_search(experiment))


def _notes_on_models(experiment: Experiment) -> Iterator[str]:
    for model, parameters in experiment.models.items():
        fastest = max(_possible(parameters["learning_rate"]))
        if parameters.get("unfreeze") and fastest > TUNING_RATE:
            yield (
                f"{model}: unfreeze with learning rates up to {fastest:g}:"
                f" above {TUNING_RATE:g} a pretrained base is easily destroyed"
            )
        optimizers = _possible(parameters.get("optimizer", "adam"))
        adams = [name for name in optimizers if name != "sgd"]
        if adams and fastest > ADAM_RATE:
            yield (
                f"{model}: learning rates up to {fastest:g} with {' and '.join(adams)}:"
                f" above {ADAM_RATE:g} few nets learn with it; such rates are for sgd"
            )
        # A custom model's factory may use its momentum for something else.
        has_momentum = {"sgd", "muon"} & {*optimizers}
        if "momentum" in parameters and "factory" not in parameters and not has_momentum:
            yield f"{model}: momentum has no effect: only the optimizers sgd and muon have it"
        mixes = [key for key in ("mixup", "cutmix") if max(_possible(parameters.get(key, 0)))]
        if mixes and "balanced" in _possible(parameters.get("class_weights")):
            yield (
                f'{model}: class_weights = "balanced" with {" and ".join(mixes)}: a mixed image'
                " weighs the mean of its two classes, so rare classes weigh less than alone"
            )
        if not experiment.space(model):
            trials = experiment.search.trials
            yield f"{model} searches nothing: its {trials} trials differ in their seeds only"


def _notes_on_search(experiment: Experiment) -> Iterator[str]:
    trials = experiment.search.trials
    if experiment.search.sampler == "tpe" and trials <= TPE_STARTUP_TRIALS:
        yield f"trials = {trials}: random search; TPE starts after {TPE_STARTUP_TRIALS}"
    if experiment.search.pruner == "median" and trials <= MEDIAN_STARTUP_TRIALS:
        yield (
            'pruner = "median" has no effect:'
            f" it starts after {MEDIAN_STARTUP_TRIALS} trials, there are {trials}"
        )
    points = len(experiment.enqueue)
    if points > trials:
        yield (
            f"enqueue has {points} points for {trials} trials:"
            f" the last {points - trials} are not tried"
        )
    if experiment.features.shards > 1 and not experiment.task_counts("features"):
        yield "features.shards has no effect: no model has a frozen base"


def _possible(value: Any) -> tuple[Any, ...]:
    """Return what a parameter may be: the value, all that are listed, or the ends of the range."""
    if isinstance(value, Range):
        return (value.low, value.high)
    if isinstance(value, Choice):
        return value.values
    return (value,)
