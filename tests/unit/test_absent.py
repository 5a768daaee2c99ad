"""Any value may be missing: report, card and leaderboard show a dash in its place."""

import csv
import io
import re
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from job.experiment.manifest import Prepared
from job.export.card import card
from job.learning import evaluate
from job.report import absent, report
from job.report.formatting import num
from job.report.leaderboard import leaderboard
from job.report.page import render
from job.report.results import Collected
from job.report.summary import summarize, to_text
from tests.support.made_reports import ONE_MODEL, make, text_of

ABOUT = {"format": "keras", "factory": None, "sha256": "0" * 64, "fit": "crop"}
SEARCH = {"metric": "balanced_accuracy", "trials": 6}
TWO_MODELS = ONE_MODEL | {"models": {"cnn": {}, "vgg16": {"input_size": 32}}, "search": SEARCH}
NAMES = {"cnn", "vgg16"}  # keys that are names: what holds below one of them holds below each
# What `summarize` always writes. The values below these branches may be missing.
BRANCHES = re.compile(
    r"data|data\.classes(\.\*)?"
    r"|models|models\.\*|models\.\*\.(trial|fold|final|cost)|models\.\*\.trial\.importances"
    r"|models\.\*\.fold\.folds(\.\*(\.state)?)?"
    r"|models\.\*\.final\.runs(\.\*(\.seed_index)?)?|models\.\*\.final\.unfinished"
    r"|order(\..*)?|metric|winner|direction|references(\.\*(\.(name|model))?)?"
    r"|differences(\.\*(\.model)?)?|times(\.\*(\.(model|stage))?)?"
    r"|attempts|openings|cost|versions(\.\*)?|missing(\.\*)?|experiment|experiment_id"
)


@cache
def finished():
    """Return a finished experiment with two models, and its summary."""
    collected = make(train=80, test=40, spec=TWO_MODELS)
    collected.samples = None
    summary = summarize(collected)
    values = {"learning_rate": 0.75, "batch_size": 0.25}
    importances = {"trials": 20, "values": values, "reason": None}
    summary["models"]["cnn"]["trial"]["importances"] = importances
    return collected, summary


@pytest.fixture
def few_resamples(monkeypatch):
    """Make a summary fast: 200 resamples instead of 2,000."""
    monkeypatch.setattr(evaluate, "REPEATS", evaluate.CHUNK)


def places(value, name: str = "", path: tuple = ()):
    """Yield each path below a value; items of a list and models share one name."""
    for key, below in entries(value):
        pair = isinstance(value, list) and len(value) == 2 and not isinstance(below, (dict, list))
        alike = "*" if (isinstance(value, list) and not pair) or key in NAMES else key
        deeper = f"{name}.{alike}".lstrip(".")
        yield deeper, (*path, key)
        yield from places(below, deeper, (*path, key))


def entries(value):
    """Return the pairs of key and value of a dict or a list, none of anything else."""
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def remove_at(value, path: tuple, removed: bool):
    """Remove the value at a path from its dict, or replace it by None."""
    *way, last = path
    for key in way:
        there = isinstance(value, list) or (isinstance(value, dict) and key in value)
        value = value[key] if there else None
        if value is None:
            return
    if removed and isinstance(value, dict):
        value.pop(last, None)
    else:
        value[last] = None


def render_texts(collected, summary: dict) -> list[str]:
    """Return the text of a report and of a card, and write the machine-readable files too."""
    to_text(summary)
    rows = list(csv.DictReader(io.StringIO(leaderboard(summary))))
    assert {row["model"] for row in rows} == set(summary["models"])
    return [text_of(render(collected, summary, {})), card(collected, summary, "cnn", ABOUT)]


def check(texts: list[str]) -> None:
    """Fail if a text contains a missing value as Python, NumPy or Jinja would print it."""
    for text in texts:
        prose = text.replace("np.asarray(image)[None]", "")
        missing = re.search(r"\b(None|nan|inf|Undefined|Absent)\b", prose)
        assert not missing, text[max(missing.start() - 60, 0) : missing.end() + 20]


PLACES: dict[str, tuple] = {}  # the first of several equal ones
for name, path in places(finished()[1]):
    if not BRANCHES.fullmatch(name):
        PLACES.setdefault(name, path)


@pytest.mark.parametrize("removed", [False, True], ids=["None", "removed"])
def test_each_value_of_the_summary_may_be_absent(removed):
    """Whichever entry of report.json is missing, all files are written and none contains None."""
    collected, summary = finished()
    for name, path in PLACES.items():
        lacking = deepcopy(summary)
        remove_at(lacking, path, removed)
        try:
            check(render_texts(collected, lacking))
        except Exception as exc:
            exc.add_note(f"without {name}")
            raise


def test_a_full_report_lacks_nothing(monkeypatch):
    """A finished experiment lacks only `alpha`, so a misspelled key cannot pass for a dash."""
    missed = set()
    seen = absent.ForgivingEnvironment._or_absent

    def known(environment, value):
        missed.update([value._undefined_name] if isinstance(value, absent.Absent) else [])
        return seen(environment, value)

    monkeypatch.setattr(absent.ForgivingEnvironment, "_or_absent", known)
    render_texts(*finished())
    assert missed == {"alpha"}
    with pytest.raises(UndefinedError, match="'figuer' is undefined"):
        absent.environment(()).from_string("{{ figuer }}").render(figure=1)


def test_a_class_without_images_or_predictions_is_named():
    """Page and card name classes that are neither tested nor predicted; their rows are dashes."""
    made = make(["cat", "dog", "emu|x", "bee"], train=80, test=40, spec=TWO_MODELS)
    labels = np.arange(40) % 2
    p = np.eye(4, dtype=np.float32)[np.arange(40) // 2 % 2]
    scored = evaluate.evaluate(labels, p, made.data.classes, 1, method=2)
    made.models["cnn"].tasks["final"][0].metrics.update(scored)
    page, text = render_texts(made, summarize(made))
    named = "Neither in the test part nor ever predicted: emu|x, bee."
    assert f"{named} No score is defined there" in page
    assert named.replace("|", "\\|") in text
    assert "| bee | – | – | – | 0 |" in text


def test_an_expression_with_an_absent_value_is_absent():
    """As with SQL's NULL, results are a dash, comparisons are false, and loops do not run."""
    text = (
        "{{ 100 * (1 - run.n) }} {{ run.n.of.it }} {{ run.n | num }} {{ run.low | num }}"
        " {{ run.n > 1 }} {{ run.low is none }}{% for x in run.n %}x{% endfor %}"
    )
    template = absent.environment((num,)).from_string(text)
    assert template.render(run={"low": None}) == "– – – – False True"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(sorted(PLACES)), st.booleans()), min_size=2, max_size=60))
def test_many_values_of_the_summary_may_be_absent(missing):
    """With any number of values missing, all files are written and none contains None."""
    collected, summary = finished()
    lacking = deepcopy(summary)
    for name, removed in missing:
        remove_at(lacking, PLACES[name], removed)
    check(render_texts(collected, lacking))


def optional_parts(collected) -> dict:
    """Return the parts of the results in which a row or a file may lack values."""
    return {
        name: {
            "fold": model.tasks["fold"][0].metrics,
            "final": model.tasks["final"][0].metrics,
            "result": model.results[("final", 0)],
            "epochs": model.epochs[("fold", 0)][0],
            "searched": model.tasks["trial"][0].parameters,
            "selection": model.selection["parameters"],
        }
        for name, model in collected.models.items()
    } | {"data": collected.data.stored(), "seconds": collected.attempts[0].seconds}


# What every version staged, and lists that are empty rather than missing.
STAGED = re.compile(
    r"data\.(id|source|classes(\.\*)?|image_shape(\..*)?|train|validation|test"
    r"|train_counts|test_counts|duplicates|files|notes|stored)"
)
GIVEN: dict[str, tuple] = {}
for name, path in places(optional_parts(finished()[0])):
    if "." in name and not STAGED.fullmatch(name):
        GIVEN.setdefault(name, path)


def finished_without(missing) -> Collected:
    """Return a finished experiment. Args: missing: paths in `loose`, and whether to remove them."""
    collected = deepcopy(finished()[0])
    parts = optional_parts(collected)
    for path, removed in missing:
        remove_at(parts, path, removed)
    collected.data = Prepared.from_stored(parts["data"])
    return collected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(sorted(GIVEN)), st.booleans()), min_size=1, max_size=12))
@pytest.mark.usefixtures("few_resamples")
def test_values_of_rows_and_files_may_be_absent(missing):
    """Whichever values a row or a file lacks, the report and the card are written."""
    collected = finished_without([(GIVEN[name], removed) for name, removed in missing])
    check(render_texts(collected, summarize(collected)))


@pytest.mark.parametrize("removed", [False, True], ids=["None", "removed"])
@pytest.mark.usefixtures("few_resamples")
def test_pictures_are_drawn_from_what_exists(removed):
    """With every optional value missing, all files are written, and no picture shows None."""
    collected = finished_without([(path, removed) for path in GIVEN.values()])
    files = report.assemble(collected, summarize(collected))
    drawn = [content.decode() for name, content in files.items() if name.endswith(".svg")]
    check([text_of(files["index.html"].decode()), *drawn])


def test_an_if_without_else_prints_nothing():
    """`{{ a if b }}` prints nothing where b is false, not a dash."""
    text = (
        "{{ '.serve' if wanted }}|{% for n in [1, 2] %}{{ n }}{{ ', ' if not loop.last }}"
        "{% endfor %}|{{ s.none }}"
    )
    for escaping in (False, True):
        template = absent.environment((), autoescape=escaping).from_string(text)
        assert template.render(wanted=False, s={"none": None}) == "|1, 2|–"
