"""All pictures of a report, by file name."""

from job.report.absent import at
from job.report.curves import as_matrix
from job.report.drawing import Picture, style
from job.report.entry import published
from job.report.images import augmentation, mistakes, samples
from job.report.report_format import Report
from job.report.results import Collected, Model
from job.report.scores import confusion, macro_rocs, reliability, roc
from job.report.search import curves, history, search


def draw(collected: Collected, summary: Report) -> dict[str, Picture]:
    """Return every picture that the results suffice for, by file name."""
    with style():
        pictures = samples(collected)
        for name, model in collected.models.items():
            drawn = _pictures_of(model, collected, summary)
            pictures |= {file.format(name): picture for file, picture in drawn.items() if picture}
            pictures |= mistakes(model, collected.data.classes)
        if roc_of_all := macro_rocs(collected, summary):
            pictures["roc.svg"] = roc_of_all
        return pictures


def _pictures_of(model: Model, collected: Collected, summary: Report) -> dict[str, Picture | None]:
    """Return a model's pictures by file name, in which {} is the place of its name."""
    classes = collected.data.classes
    entry = summary["models"][model.name]
    predictions = model.predictions.get(("final", 0))
    lines = predictions.lines if predictions else None
    run = published(entry)
    matrix = as_matrix(at(run, "confusion_matrix"))
    return {
        "augmentation-{}.png": augmentation(model),
        "history-{}.svg": history(model, entry, summary),
        "search-{}.svg": search(model, entry, summary, collected.experiment.fixed(model.name)),
        "curves-{}-loss.svg": curves(model, "loss"),
        "curves-{}-accuracy.svg": curves(model, "accuracy"),
        "confusion-{}.svg": confusion(model.name, matrix, classes),
        "roc-{}.svg": roc(model.name, lines, run, classes) if lines and run else None,
        "reliability-{}.svg": reliability(model.name, predictions) if predictions else None,
    }
