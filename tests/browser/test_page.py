"""The report in Debian's headless Chromium; `make test-browser` installs everything else."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from job.report.figures import draw
from job.report.page import render
from job.report.summary import summarize
from tests.support.made_reports import ONE_MODEL, SPEC, make

HERE = Path(__file__).parent
LOOKS = ("light", "dark", "phone", "phone dark")
LONG = "a class with a name longer than any label should be, " * 4
ODD = [
    "<b>&amp;</b><script>alert(1)</script>",
    "日本語のクラス",
    "عربى",
    LONG,
    "x" * 300,
    "🦆",
    "cat",
    "dog",
    "' onload='",
    "$x_1$",
]
LARGE = 5_000_000
BROKEN = """<!doctype html><title>broken</title><body style="margin:0">
<img src="http://127.0.0.1:9/x.png">
<main><p style="font-size:16px;width:2000px;color:#eee;background:#fff">pale</p></main>
<details><summary>more</summary><pre>closed</pre></details>
<script>console.error("said"); throw new Error("thrown")</script>"""


def page_of(collected) -> str:
    """Return the report page of a collected experiment."""
    summary = summarize(collected)
    return render(collected, summary, draw(collected, summary))


def partial():
    """Return an experiment right after `prepare`: no task is done, no picture can be drawn."""
    collected = make()
    collected.attempts = []
    collected.openings = []
    collected.samples = None
    for model in collected.models.values():
        model.tasks = {stage: [] for stage in model.tasks}
        model.selection = None
        model.epochs = {}
        model.predictions = {}
        model.results = {}
        model.mistakes = None
        model.augmentation = None
    return collected


def two():
    """Return an experiment of two classes, judged by its log loss."""
    spec = SPEC | {"search": SPEC["search"] | {"metric": "log_loss"}}
    return make(["cat", "dog"], train=200, test=60, spec=spec)


def trials():
    """Return an experiment of ten classes and 200 trials."""
    return make([f"class {i}" for i in range(10)], train=400, test=400, trials=200)


def thousand():
    """Return an experiment of one model and a thousand classes."""
    classes = [f"class {i}" for i in range(1000)]
    return make(classes, train=2000, test=999, trials=25, spec=ONE_MODEL)


MADE = {
    "three": make,
    "two": two,
    "odd": lambda: make(ODD, train=200, test=100),
    "trials": trials,
    "thousand": thousand,
    "partial": partial,
}


@pytest.fixture(scope="session")
def looked(tmp_path_factory) -> dict[str, dict]:
    """What one browser with an empty profile found on each page."""
    folder = tmp_path_factory.mktemp("pages")
    browser = shutil.which("chromium")
    assert browser, "no chromium: on Debian, apt-get install chromium"
    assert (HERE / "node_modules").is_dir(), "no node_modules: run `make test-browser`"
    pages = {name: folder / f"{name}.html" for name in (*MADE, "broken")}
    for name, made in MADE.items():
        pages[name].write_text(page_of(made()))
    pages["broken"].write_text(BROKEN)
    command = ["node", HERE / "look.mjs", browser, folder / "profile", *pages.values()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)
    return {
        name: findings[str(path)] | {"bytes": path.stat().st_size} for name, path in pages.items()
    }


@pytest.fixture(params=MADE)
def page(looked, request) -> dict:
    return looked[request.param]


def test_it_is_silent_and_stays_at_home(page):
    """The page writes nothing to the console and requests nothing but itself."""
    assert page["errors"] == [] and page["requests"] == []


@pytest.mark.parametrize("look", ["light", "phone dark"])
def test_anyone_can_read_it(page, look):
    """axe-core finds nothing when all parts are open, in light and dark, on laptop and phone."""
    assert page["axe"][look] == []


@pytest.mark.parametrize("look", LOOKS)
def test_it_fits_the_window(page, look):
    """The page never scrolls sideways at 1200, 360 and 320 pixels, whatever the class names are."""
    assert page["looks"][look]["over"] <= 0


def test_every_picture_has_words(page):
    """Each image and drawing loads and has an alternative text."""
    assert page["looks"]["light"]["nameless"] == page["looks"]["light"]["broken"] == 0


def test_pictures_are_there(looked):
    """A finished experiment shows its pictures, so that the tests above check something."""
    assert looked["three"]["looks"]["light"]["figures"] > 60
    assert looked["partial"]["looks"]["light"]["figures"] == 0


def test_tables_are_sorted_by_the_keyboard(looked):
    """Tab reaches each head, Enter and Space sort by it in both directions, aria-sort follows."""
    states = looked["three"]["sorted"]
    assert len(states) >= 16
    for i, state in enumerate(states):
        column, second = divmod(i, 2)
        assert state["focused"]
        others = [a for c, a in enumerate(state["aria"]) if c != column]
        assert others == [None] * (len(state["aria"]) - 1)
        assert state["aria"][column] == ("ascending" if second else "descending")
        key = float if column else str  # the first column is the name
        values = [key(v) for v in state["values"]]
        assert values == sorted(values, reverse=not second)


def test_paper_hides_nothing(page):
    """In print every part is open and no table is cut off; afterwards the page is as before."""
    assert page["looks"]["paper"]["hidden"] == 0 and page["looks"]["paper"]["cut"] == []
    assert page["printed"]["pdf"] == "%PDF-" and page["printed"]["paper"] == 0
    assert page["printed"]["after"] == page["printed"]["before"]


def test_the_keyboard_goes_through_it(page):
    """Tab reaches the skip link first, always shows its focus, and leaves the page at the end."""
    walked = page["walked"]
    assert walked["first"] == "A Skip to the sections"
    assert 12 < walked["stops"] < 2000
    assert walked["unseen"] == []


def test_letters_grow_with_the_readers_setting(page):
    """A double font size in the browser doubles the page's, and the page still fits the window."""
    over = page["grown"]["over"]
    assert page["grown"] == {"times": 2, "over": over}
    assert over <= 0


def test_a_finger_can_hit_what_it_points_at(page):
    """Links to sections, sortable heads and collapsible parts are at least 24 pixels per side."""
    assert page["looks"]["phone"]["small"] == 0


def test_few_landmarks(page):
    """The page has four landmarks: header, section links, main part and footer; no table is one."""
    assert page["looks"]["light"]["landmarks"] == 4


def test_high_contrast_leaves_bars_and_letters(looked):
    """In forced colors the importance bars are visible, and drawings use the text color."""
    assert looked["trials"]["forced"]["bars"] == 0
    assert looked["trials"]["forced"]["ink"] == looked["trials"]["forced"]["text"]


def test_it_can_be_sent_by_mail(page):
    """A page is smaller than 5 MB, even with 200 trials of three models or 1,000 classes."""
    assert page["bytes"] < LARGE


def test_a_broken_page_is_noticed(looked):
    """Each check above can fail: a page with every fault has every finding."""
    broken = looked["broken"]
    looks = broken["looks"]
    assert any("said" in e for e in broken["errors"])
    assert any("thrown" in e for e in broken["errors"])
    assert broken["requests"] == ["http://127.0.0.1:9/x.png"] * 5
    rules = {violation.partition(":")[0] for violation in broken["axe"]["light"]}
    assert {"color-contrast", "image-alt", "html-has-lang"} <= rules
    assert looks["phone"]["over"] > 1000
    assert looks["light"]["nameless"] == looks["light"]["broken"] == 1
    assert broken["walked"]["stops"] == 1
    assert broken["grown"]["times"] == 1
    assert looks["phone"]["small"] == 1
    assert looks["paper"]["hidden"] == 1
    assert broken["printed"]["paper"] == 1
