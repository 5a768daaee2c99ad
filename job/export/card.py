"""The model card: what a model is, what it was made of, how good it is and where it ends.

Source: Mitchell et al. 2019, "Model Cards for Model Reporting", arxiv.org/abs/1810.03993.
"""

import html
import re
from functools import cache
from importlib import resources

from jinja2 import Template

from job.experiment.serialize import toml
from job.export.trained import FORMATS
from job.learning.evaluate import SCORE_OF_METRIC
from job.report.absent import environment
from job.report.curves import calibration
from job.report.entry import published
from job.report.formatting import count, interval, num, plain, share, some
from job.report.report_format import Report
from job.report.results import Collected
from job.settings import redact
from job.text import printable

MOST_CLASSES = 50  # rows of the table; all are in report.json
MARKUP = re.compile(r"[\\`*_\[\]|~]")  # Markdown's markup within a line, apart from HTML


def card(collected: Collected, summary: Report, model: str, about: dict) -> str:
    """Return the card of a model as Markdown.

    Args:
        summary: the content of report.json.
        model: its published final is complete.
        about: the content of the exported folder's model.json.
    """
    entry = summary["models"][model]
    experiment = collected.experiment
    results = collected.models[model]
    final = results.stage("final", "complete")[0]
    predictions = results.predictions.get(("final", 0))
    error = None
    if predictions:
        error = calibration(predictions.right, predictions.confidence)[1]
    on_base = experiment.frozen(model) or "unfreeze" in experiment.models[model]
    return _template().render(
        about=about,
        file=FORMATS[about["format"]],
        s=summary,
        data=collected.data,
        model=model,
        entry=entry,
        run=published(entry),
        key=SCORE_OF_METRIC[summary["metric"]],
        calibration=error,
        parameters=experiment.fixed(model) | (final.parameters or {}),
        base=model if on_base else None,
        recipe=redact(toml(experiment.spec)),
        most=MOST_CLASSES,
    )


@cache
def _template() -> Template:
    text = resources.files("job.export").joinpath("card.md").read_text(encoding="utf-8")
    filters = (num, interval, count, plain, share, some, escape_markdown)
    return environment(filters).from_string(text)


def escape_markdown(text: str) -> str:
    """Return text from the data so that Markdown shows it, whatever it holds.

    Markup, HTML and the end of a table's cell appear as the characters they are.
    """
    return MARKUP.sub(r"\\\g<0>", html.escape(printable(text), quote=False))
