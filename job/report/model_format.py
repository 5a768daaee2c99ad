# pyright: strict
"""What report.json holds about one model: its search, its folds and its finals."""

from typing import Annotated, Any, TypedDict

from job.json_types import Count, Index, Interval, Seconds, Share, one_of
from job.learning.result_format import FinalEvaluation, Scores

STATES = one_of("waiting", "running", "complete", "pruned", "failed")


class Best(TypedDict):
    """The best complete trial so far, by its score on the validation part."""

    index: Annotated[Index, "of the trial"]
    value: Annotated[float, "its score in the experiment's metric"]
    interval: Annotated[
        Interval | None,
        "95 %, for the choice of validation images only, not corrected for the best of many;"
        " null where the trial's predictions cannot be read",
    ]
    within: Annotated[
        Count | None, "other complete trials inside the interval; null without an interval"
    ]


class Importances(TypedDict):
    """How much of the spread of the trials' scores each searched parameter explains, by fANOVA."""

    trials: Annotated[Count, "complete trials that this is computed from, 400 at most"]
    values: Annotated[
        dict[str, Share] | None, "by parameter, largest first; null if `reason` says why"
    ]
    reason: Annotated[str | None, "why there are no values; null if there are"]


class Trials(TypedDict):
    """The search of one model."""

    tasks: Annotated[Count, "trials in all"]
    complete: Annotated[Count, "trials that trained to the end"]
    pruned: Annotated[Count, "trials that the pruner ended, or that were infeasible"]
    infeasible: Annotated[
        Count, "of these, the trials that diverged or that the memory was too small for"
    ]
    failed: Annotated[Count, "trials that failed for good"]
    waiting: Annotated[Count, "trials that nobody works on"]
    running: Annotated[Count, "trials that a process works on"]
    best: Annotated[Best | None, "the best one so far; null while none is complete"]
    importances: Annotated[Importances, "of the searched parameters"]


class Selection(TypedDict):
    """The trial whose parameters folds and finals train with."""

    index: Annotated[Index, "of the trial"]
    value: Annotated[float, "its score in the experiment's metric"]
    parameters: Annotated[dict[str, Any], "its searched parameters, by name"]


class FoldEntry(Scores):
    """One fold; every score is null until it is complete."""

    index: Annotated[Index, "of the fold"]
    state: Annotated[str, STATES, "of its task"]
    n: Annotated[Count | None, "images that were left out and scored; null until it is complete"]
    reason: Annotated[str | None, "why it failed, or why `roc_auc` is null; else null"]


class Ranges(TypedDict):
    """The lowest and the highest score of the folds, [lowest, highest]; null if a fold has none."""

    accuracy: Annotated[Interval | None, "lowest and highest"]
    precision: Annotated[Interval | None, "lowest and highest"]
    recall: Annotated[Interval | None, "lowest and highest"]
    f1: Annotated[Interval | None, "lowest and highest"]
    roc_auc: Annotated[Interval | None, "lowest and highest"]
    balanced_accuracy: Annotated[Interval | None, "lowest and highest"]
    log_loss: Annotated[Interval | None, "lowest and highest"]


class OutOfFold(TypedDict):
    """The folds' predictions pooled: every training image once, by a net that did not see it."""

    n: Annotated[Count, "training images"]
    accuracy: Annotated[Share, "share of them that is classified correctly"]
    interval: Annotated[Interval, "95 %, from 2,000 stratified resamples"]


class Folds(TypedDict):
    """The cross-validation of one model. Nothing is averaged over missing folds."""

    n_train: Annotated[Count, "images that a fold trains on, rounded"]
    folds: Annotated[list[FoldEntry], "by index"]
    mean: Annotated[Scores | None, "mean of each score; null until every fold is complete"]
    range: Annotated[Ranges | None, "range of each score; null until every fold is complete"]
    out_of_fold: Annotated[
        OutOfFold | None, "null unless the folds predict every training image exactly once"
    ]


class FinalRun(FinalEvaluation):
    """A complete final, trained on the whole training part and scored once on the test part.

    One that an older version of the program made may lack keys that its version did not know.
    """

    seed_index: Annotated[Index, "of the final; 0 is the one that is published"]
    seed: Annotated[int | None, "of all its random numbers; null if its record cannot be read"]
    model: Annotated[str | None, "key of the trained model in the store"]


class Unfinished(TypedDict):
    """A final that is not complete."""

    seed_index: Annotated[Index, "of the final"]
    state: Annotated[str, STATES, "of its task"]
    reason: Annotated[str | None, "why it failed; null if it did not"]


class Finals(TypedDict):
    """The final trainings of one model, one per seed."""

    n_train: Annotated[Count, "images that each trains on"]
    n_test: Annotated[Count, "images that each is scored on"]
    runs: Annotated[list[FinalRun], "those that are complete, by index"]
    unfinished: Annotated[list[Unfinished], "the others, by index"]


class Cost(TypedDict):
    """What attempts cost, of one model or of all."""

    wall_s: Annotated[Seconds, "seconds from the first start to the last end, or sign of life"]
    train_s: Annotated[Seconds, "seconds of training, in the attempts that decided a task"]
    lost_s: Annotated[Seconds, "seconds of attempts that led to no result"]


class ModelEntry(TypedDict):
    """One model."""

    trial: Annotated[Trials, "its search"]
    selection: Annotated[Selection | None, "the trial that was selected; null until one is"]
    fold: Annotated[Folds, "its cross-validation"]
    final: Annotated[Finals, "its final trainings"]
    cost: Annotated[Cost, "of its attempts"]
