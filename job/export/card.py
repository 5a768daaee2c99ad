"""The model card: what a model is, what it was made of, how good it is and where it ends (Mitchell et al. 2019, arxiv.org/abs/1810.03993)."""

from importlib import resources

from jinja2 import Environment, StrictUndefined

from job.recipe import toml
from job.report.collect import Collected
from job.report.points import calibration
from job.report.summary import METRIC_KEY, published
from job.report.words import count, interval, num, plain
from job.trained import FORMATS

MOST_CLASSES = 50  # rows of the table; all are in report.json


def card(collected: Collected, summary: dict, model: str, about: dict) -> str:
    """Return the card as Markdown."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"num": num, "interval": interval, "count": count, "plain": plain, "cell": _cell}
    entry, experiment = summary["models"][model], collected.experiment
    final = collected.models[model].stage("final", "complete")[0]
    result = collected.models[model].results.get(("final", 0)) or {}
    predictions = collected.models[model].predictions.get(("final", 0))
    return environment.from_string(resources.files("job.export").joinpath("card.md").read_text(encoding="utf-8")).render(
        about=about,
        file=FORMATS[about["format"]],
        s=summary,
        data=collected.data,
        model=model,
        entry=entry,
        run=published(entry),
        key=METRIC_KEY[summary["metric"]],
        calibration=calibration(predictions.labels, predictions.probabilities)[1] if predictions else None,
        parameters=experiment.fixed(model) | final.parameters,
        base=model if experiment.frozen(model) or "unfreeze" in experiment.models[model] else None,
        result=result,
        recipe=toml(experiment.spec),
        most=MOST_CLASSES,
    )


def _cell(text: str) -> str:
    """Return a class name as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
