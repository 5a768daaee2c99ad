# pyright: strict
"""What result.json holds: the record of one trial, fold or final that trained to its end."""

from typing import Annotated, Any, NotRequired, TypedDict

from job.json_types import Count, Index, Interval, Seconds, Sha256, Share, one_of

DTYPES = one_of("float32", "mixed_bfloat16")


class Scores(TypedDict):
    """Scores on images that the net was not trained on; a value that is undefined is null."""

    accuracy: Annotated[Share | None, "share of the images that are classified correctly"]
    precision: Annotated[Share | None, "mean of the classes' precisions (macro average)"]
    recall: Annotated[Share | None, "mean of the classes' recalls (macro average)"]
    f1: Annotated[Share | None, "mean of the classes' F1 (macro average)"]
    roc_auc: Annotated[
        Share | None,
        "mean area under the classes' ROC lines, one-vs-rest; null if a class has no image, or all",
    ]
    balanced_accuracy: Annotated[Share | None, "mean recall of the classes that have an image"]
    log_loss: Annotated[
        float | None, "mean of minus the natural log of the true class's probability, from 0"
    ]


class Intervals(TypedDict):
    """The 95 % interval of each score, [low, high], for the choice of images only."""

    accuracy: Annotated[Interval, "Wilson's"]
    precision: Annotated[Interval, "from 2,000 stratified resamples"]
    recall: Annotated[Interval, "from 2,000 stratified resamples"]
    f1: Annotated[Interval, "from 2,000 stratified resamples"]
    balanced_accuracy: Annotated[Interval, "from 2,000 stratified resamples"]
    log_loss: Annotated[Interval, "from 2,000 stratified resamples"]
    roc_auc: NotRequired[
        Annotated[
            Interval,
            "from 2,000 stratified resamples, of more than 100,000 images to first order; absent"
            " where the score is null",
        ]
    ]


class Weighted(TypedDict):
    """Averages over the classes, each weighed by its number of images."""

    precision: Annotated[Share, "weighted mean of the classes' precisions"]
    recall: Annotated[Share, "weighted mean of the classes' recalls"]
    f1: Annotated[Share, "weighted mean of the classes' F1"]


# `class` is no name in Python.
ClassScores = TypedDict(
    "ClassScores",
    {
        "class": Annotated[str, "its name"],
        "precision": Annotated[
            Share | None,
            "0 for a class that is never predicted; null if it has no image either",
        ],
        "recall": Annotated[
            Share | None, "0 for a class without an image; null if it is never predicted either"
        ],
        "f1": Annotated[Share | None, "harmonic mean of precision and recall; null as these are"],
        "support": Annotated[Count, "images of this class"],
        "roc_auc": Annotated[Share | None, "one-vs-rest; null without images, or if all are"],
    },
)
ClassScores.__doc__ = "The scores of one class."


class ByClass(TypedDict):
    """What is known of the classes one by one."""

    weighted: Annotated[Weighted, "averages weighed by the classes' sizes"]
    per_class: Annotated[list[ClassScores], "the scores of each class, in the order of the classes"]
    undefined_precision: Annotated[
        list[str], "classes that have images and are never predicted: their precision counts as 0"
    ]


class Evaluation(Scores, ByClass):
    """All scores of a fold or a final."""

    n: Annotated[Count, "images that were scored"]
    roc_auc_reason: Annotated[str | None, "why `roc_auc` is null, for people; else null"]
    confusion_matrix: Annotated[
        list[list[Count]], "numbers of images: a row per true class, a column per predicted one"
    ]
    intervals: Annotated[Intervals, "95 % intervals"]


class WithoutCopies(TypedDict):
    """The accuracy on test images that are not in the training part as well."""

    n: Annotated[Count, "such images"]
    accuracy: Annotated[Share, "share of them that is classified correctly"]


class FinalEvaluation(Evaluation):
    """All scores of a final, on the test part."""

    without_copies: Annotated[
        WithoutCopies | None, "null where no test image is a copy of a training image, or every one"
    ]


class TrialScores(TypedDict):
    """The scores of a trial, on the validation part."""

    accuracy: Annotated[Share, "share of the images that are classified correctly"]
    log_loss: Annotated[
        float, "mean of minus the natural log of the true class's probability, from 0"
    ]


Metrics = TrialScores | Evaluation | FinalEvaluation


class Machine(TypedDict):
    """What may change a result's bits beside the experiment."""

    cpu: Annotated[str, "the processor's name"]
    tensorflow: Annotated[
        str, "version of TensorFlow, and `with oneDNN` where TensorFlow leaves that off by itself"
    ]
    device: Annotated[str, "the GPU's name, or `cpu`"]


class Layer(TypedDict):
    """One layer of a net."""

    name: Annotated[str, "its name in the net"]
    type: Annotated[str, "its Keras class"]
    output_shape: Annotated[
        list[int], "without the batch; empty for a layer without exactly one known shape"
    ]
    parameters: Annotated[Count, "its weights, trained or not"]


class FileHash(TypedDict):
    """One file of an attempt."""

    sha256: Annotated[Sha256, "of its bytes"]
    size: Annotated[Count, "in bytes"]


class Feeding(TypedDict):
    """How long the training steps of this attempt waited for data."""

    steps_s: Annotated[Seconds, "seconds in the steps of epochs, with tracing and checkpoints"]
    waited_s: Annotated[Seconds, "of these, until the next batch was there"]


class Identity(TypedDict):
    """What ties a result to one task."""

    schema: Annotated[int, "of this format: 1"]
    experiment: Annotated[str, "name of the experiment"]
    experiment_id: Annotated[str, "its id in database and store: the name and a random part"]
    fingerprint: Annotated[Sha256, "over all of the experiment that a result depends on"]
    model: Annotated[str, "name of the model in the experiment file"]
    stage: Annotated[str, one_of("trial", "fold", "final"), "stage of the task"]
    index: Annotated[Index, "of the task among those of its model and stage"]
    parameters: Annotated[
        dict[str, Any], "all parameters by name: the fixed ones and those of the trial"
    ]
    seed: Annotated[int, "of all random numbers of the task"]
    threads: Annotated[int, "TensorFlow's threads"]


class Result(Identity):
    """One attempt that trained to its end, or to where the pruner ended it."""

    attempt: Annotated[int, "its number, from 1"]
    state: Annotated[str, one_of("complete", "pruned"), "what the task is decided as"]
    reason: Annotated[str | None, "why the trial was pruned; null if it was not"]
    value: Annotated[float | None, "the experiment's metric after the last epoch"]
    metrics: Annotated[Metrics, "scores after the last epoch: few of a trial, all of the others"]
    step: Annotated[Count, "steps trained, in all attempts together"]
    files: Annotated[dict[str, FileHash], "the attempt's other files, by name"]
    weights_sha256: Annotated[Sha256, "over all weights of the net in order"]
    history_sha256: Annotated[Sha256, "of `history.csv`"]
    predictions_sha256: Annotated[Sha256, "of `predictions.npz`"]
    versions: Annotated[dict[str, str], "of Python, this program and the libraries, by name"]
    git_commit: Annotated[str | None, "of this program; null if it is unknown"]
    image_digest: Annotated[str | None, "of the container image; null if it is unknown"]
    device: Annotated[str, "the GPU's name, or `cpu`"]
    dtype: Annotated[str, DTYPES, "in which the training steps computed"]
    machines: Annotated[list[Machine], "that took part, in the order in which they joined"]
    peak_memory_bytes: Annotated[Count, "the most memory that the process held"]
    parameters_count: Annotated[Count, "weights of the net, trained or not"]
    layers: Annotated[list[Layer], "of the net, in order"]
    seconds: Annotated[
        dict[str, Seconds],
        "spent by this attempt: `import`, `stage`, `build`, `train`, `evaluate`, `upload`;"
        " and `lost`, by earlier attempts without a result",
    ]
    feeding: NotRequired[
        Annotated[Feeding, "within `seconds.train`; absent in results of older versions"]
    ]


class SealedResult(Result):
    """A result with the hash that seals it. An infeasible trial and features have none."""

    sha256: Annotated[Sha256, "over all other keys, as JSON with sorted keys"]
