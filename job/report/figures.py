"""All pictures of a report, by file name."""

from job.report.absent import at
from job.report.collect import Collected, Model
from job.report.curves import counted
from job.report.drawing import Picture, style
from job.report.images import augmentation, mistakes, samples
from job.report.scores import confusion, macro_rocs, reliability, roc
from job.report.search import curves, history, search
from job.report.summary import published


def draw(collected: Collected, summary: dict) -> dict[str, Picture]:
    """Return every picture there is enough to draw for, by file name."""
    with style():
        pictures = samples(collected)
        for name, model in collected.models.items():
            pictures |= {
                kind.format(name): picture
                for kind, picture in _of_model(model, collected, summary).items()
                if picture
            }
            pictures |= mistakes(model, collected.data["classes"])
        lines = macro_rocs(collected, summary)
        return pictures | ({"roc.svg": lines} if lines else {})


def _of_model(model: Model, collected: Collected, summary: dict) -> dict[str, Picture | None]:
    classes, entry = collected.data["classes"], summary["models"][model.name]
    predictions, run = model.predictions.get(("final", 0)), published(entry)
    return {
        "augmentation-{}.png": augmentation(model),
        "history-{}.svg": history(model, entry, summary),
        "search-{}.svg": search(model, entry, summary, collected.experiment.fixed(model.name)),
        "curves-{}-loss.svg": curves(model, "loss"),
        "curves-{}-accuracy.svg": curves(model, "accuracy"),
        "confusion-{}.svg": confusion(model.name, counted(at(run, "confusion_matrix")), classes),
        "roc-{}.svg": roc(model.name, predictions, run, classes) if predictions and run else None,
        "reliability-{}.svg": reliability(model.name, predictions) if predictions else None,
    }
