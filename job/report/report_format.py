# pyright: strict
"""What report.json holds about an experiment as a whole; `model_format` has its models."""

from typing import Annotated, NotRequired, TypedDict

from job.json_types import Count, Interval, Limits, Seconds, Sha256, Share, one_of
from job.learning.result_format import DTYPES, Machine
from job.report.model_format import Cost, ModelEntry

METRICS = one_of("accuracy", "balanced_accuracy", "f1_macro", "log_loss")


class Reference(TypedDict):
    """A published figure, a `[[reference]]` table of the experiment file; it holds what that has.

    A figure of the original work has its interval in addition.
    """

    name: Annotated[str, "what published it"]
    model: Annotated[str, "which model it is of"]
    accuracy: NotRequired[Annotated[Share, "as published; absent if it was not"]]
    precision: NotRequired[Annotated[Share, "as published; absent if it was not"]]
    recall: NotRequired[Annotated[Share, "as published; absent if it was not"]]
    f1: NotRequired[Annotated[Share, "as published; absent if it was not"]]
    roc_auc: NotRequired[Annotated[Share, "as published; absent if it was not"]]
    interval_if_100: NotRequired[
        Annotated[
            Interval,
            "the 95 % interval of `accuracy` if it was measured on 100 images; absent unless the"
            " figure is of the original work and fits that number",
        ]
    ]


class Duplicates(TypedDict):
    """Images with equal pixels."""

    train: Annotated[Count, "training images that repeat an earlier one"]
    train_test: Annotated[Count, "test images that are in the training part as well"]


class Groups(TypedDict):
    """Groups of images that stay together in every split."""

    train: Annotated[Count, "groups in the training part"]
    test: Annotated[Count, "groups in the test part"]


class Data(TypedDict):
    """The staged data set."""

    source: Annotated[str, "what the images were read from"]
    train: Annotated[Count, "images of the training part"]
    validation: Annotated[Count, "images of the training part on which trials are compared"]
    test: Annotated[Count, "images of the test part"]
    classes: Annotated[list[str], "their names, in the order of labels and probabilities"]
    id: Annotated[str, "hash over classes and pixels; names the data in the store"]
    image_shape: Annotated[list[int], Limits(length=3), "height, width and channels, in pixels"]
    train_counts: Annotated[list[Count], "training images of each class"]
    test_counts: Annotated[list[Count], "test images of each class"]
    duplicates: Annotated[Duplicates, "images that are there more than once"]
    groups: Annotated[Groups | None, "null if no image belongs to a named group"]
    damaged: Annotated[Count, "image files that could not be read and were left out"]


class Difference(TypedDict):
    """The winner's test accuracy minus that of another model, both of seed 0."""

    model: Annotated[str, "the other model"]
    difference: Annotated[float | None, "-1 to 1; null if `reason` says why"]
    interval: Annotated[
        Interval | None, "95 %, from 2,000 resamples of the images both were tested on; null alike"
    ]
    reason: Annotated[str | None, "why the two cannot be compared; null if they can"]


class Openings(TypedDict):
    """How often the test part was opened. More often than there are finals: some were repeated."""

    total: Annotated[Count, "times it was opened"]
    finals: Annotated[Count, "complete finals"]
    models: Annotated[dict[str, Count], "times it was opened by each model; absent: never"]


class Attempts(TypedDict):
    """How many tasks and attempts there are, and how the attempts ended."""

    tasks: Annotated[Count, "tasks, in whatever state"]
    attempts: Annotated[Count, "attempts at them, in whatever state"]
    complete: Annotated[Count, "attempts that completed their task"]
    pruned: Annotated[Count, "attempts whose trial the pruner ended"]
    interrupted: Annotated[Count, "attempts that gave their task back, as at a time limit"]
    error: Annotated[Count, "attempts that an error ended"]
    vanished: Annotated[Count, "attempts whose process was not heard of again"]
    running: Annotated[Count, "attempts that have not ended"]


class Origin(TypedDict):
    """What results were made by and on. Null: a result of an older version does not say it."""

    versions: Annotated[dict[str, str] | None, "of Python, this program and the libraries, by name"]
    git_commit: Annotated[str | None, "of this program; null also if it was unknown"]
    image_digest: Annotated[str | None, "of the container image; null also if it was unknown"]
    device: Annotated[str | None, "the GPU's name, or `cpu`"]
    dtype: Annotated[Annotated[str, DTYPES] | None, "in which the training steps computed"]
    machines: Annotated[list[Machine] | None, "that took part, in the order in which they joined"]
    threads: Annotated[int | None, "TensorFlow's threads"]
    results: Annotated[Count, "folds and finals that were made so"]


class StageTimes(TypedDict):
    """Where the time of one model's stage went, summed over all its attempts."""

    model: Annotated[str, "which model"]
    stage: Annotated[str, one_of("features", "trial", "fold", "final"), "which stage"]
    attempts: Annotated[Count, "attempts, however they ended"]
    import_s: Annotated[Seconds, "seconds spent importing TensorFlow and the rest"]
    stage_s: Annotated[Seconds, "seconds spent fetching data, weights and features"]
    build_s: Annotated[Seconds, "seconds spent building the net"]
    train_s: Annotated[Seconds, "seconds spent training"]
    evaluate_s: Annotated[Seconds, "seconds spent scoring"]
    upload_s: Annotated[Seconds, "seconds spent writing results to the store"]
    other_s: Annotated[Seconds, "the rest of `wall_s`"]
    wall_s: Annotated[Seconds, "seconds from each attempt's start to its end, or last sign of life"]
    lost_s: Annotated[Seconds, "seconds of `wall_s` that led to no result"]


class Report(TypedDict):
    """The figures of an experiment. It can be made at any time: what is not there yet is null."""

    schema: Annotated[int, "of this format: 1"]
    experiment: Annotated[str, "name of the experiment"]
    experiment_id: Annotated[str, "its id in database and store: the name and a random part"]
    fingerprint: Annotated[Sha256, "over all of the experiment that a result depends on"]
    selected_by: Annotated[str, "what orders the models, as `fold mean accuracy`"]
    metric: Annotated[str, METRICS, "the score that decides"]
    direction: Annotated[str, one_of("maximize", "minimize"), "of the metric"]
    winner: Annotated[str | None, "the first of `order`; null while another model can overtake it"]
    order: Annotated[list[str], "models with a mean fold score, best first"]
    notice: Annotated[str | None, "why `job local` ran something smaller; null if it did not"]
    notes: Annotated[list[str], "what `prepare` and tasks warned of, a sentence each"]
    missing: Annotated[list[str], "what a complete report would contain in addition, in sentences"]
    references: Annotated[list[Reference], "published figures beside which the models are shown"]
    data: Annotated[Data, "the data set"]
    models: Annotated[dict[str, ModelEntry], "by name, in the order of the experiment file"]
    differences: Annotated[
        list[Difference], "between the winner and each other model with a final; empty without"
    ]
    openings: Annotated[Openings, "of the test part"]
    attempts: Annotated[Attempts, "numbers of tasks and attempts"]
    versions: Annotated[list[Origin], "each distinct origin of folds and finals"]
    cost: Annotated[Cost, "of all models together"]
    times: Annotated[list[StageTimes], "per model and stage with an attempt"]
