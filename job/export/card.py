"""The model card: what a model is, what it was made of, how good it is and where it ends (Mitchell et al. 2019, arxiv.org/abs/1810.03993)."""

import html
import re
from functools import cache
from importlib import resources

from jinja2 import Template

from job.experiment.serialize import toml
from job.export.trained import FORMATS
from job.report.absent import environment
from job.report.curves import calibration
from job.report.entry import published
from job.report.formatting import count, interval, num, plain, share, some
from job.report.metrics import SCORE_OF_METRIC
from job.report.results import Collected
from job.settings import redact
from job.text import printable

MOST_CLASSES = 50  # rows of the table; all are in report.json
MARKUP = re.compile(r"[\\`*_\[\]|~]")  # what Markdown reads in the middle of a line, HTML apart


def card(collected: Collected, summary: dict, model: str, about: dict) -> str:
    """Return the card as Markdown."""
    entry, experiment = summary["models"][model], collected.experiment
    final = collected.models[model].stage("final", "complete")[0]
    result = collected.models[model].results.get(("final", 0)) or {}
    predictions = collected.models[model].predictions.get(("final", 0))
    return _template().render(
        about=about,
        file=FORMATS[about["format"]],
        s=summary,
        data=collected.data,
        model=model,
        entry=entry,
        run=published(entry),
        key=SCORE_OF_METRIC[summary["metric"]],
        calibration=calibration(predictions.labels, predictions.probabilities)[1]
        if predictions
        else None,
        parameters=experiment.fixed(model) | final.parameters,
        base=model if experiment.frozen(model) or "unfreeze" in experiment.models[model] else None,
        result=result,
        recipe=redact(toml(experiment.spec)),
        most=MOST_CLASSES,
    )


@cache
def _template() -> Template:
    text = resources.files("job.export").joinpath("card.md").read_text(encoding="utf-8")
    return environment((num, interval, count, plain, share, some, marked)).from_string(text)


def marked(text: str) -> str:
    """Return text from the data as Markdown that shows it: no markup, no HTML, no end of a table's cell."""
    return MARKUP.sub(r"\\\g<0>", html.escape(printable(text), quote=False))
