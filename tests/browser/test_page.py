"""The report in a real browser: Debian's Chromium, headless. `make test-browser` brings what this needs."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from made import ONE_MODEL, SPEC, make

from job.report.figures import draw
from job.report.page import render
from job.report.summary import summarise

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
BROKEN = """<!doctype html><title>broken</title><body style="margin:0"><img src="http://127.0.0.1:9/x.png">
<main><p style="font-size:16px;width:2000px;color:#eee;background:#fff">pale</p></main><details><summary>more</summary><pre>closed</pre></details>
<script>console.error("said"); throw new Error("thrown")</script>"""


def page_of(collected) -> str:
    summary = summarise(collected)
    return render(collected, summary, draw(collected, summary))


def partial():
    """Right after `prepare`: no task is done, no picture can be drawn."""
    collected = make()
    collected.attempts, collected.openings, collected.samples = [], [], None
    for model in collected.models.values():
        model.tasks = {stage: [] for stage in model.tasks}
        (
            model.selection,
            model.epochs,
            model.predictions,
            model.results,
            model.mistakes,
            model.augmentation,
        ) = None, {}, {}, {}, None, None
    return collected


MADE = {
    "three": make,
    "two": lambda: make(
        ["cat", "dog"],
        train=200,
        test=60,
        spec=SPEC | {"search": SPEC["search"] | {"metric": "log_loss"}},
    ),
    "odd": lambda: make(ODD, train=200, test=100),
    "trials": lambda: make([f"class {i}" for i in range(10)], train=400, test=400, trials=200),
    "thousand": lambda: make(
        [f"class {i}" for i in range(1000)], train=2000, test=999, trials=25, spec=ONE_MODEL
    ),
    "partial": partial,
}


@pytest.fixture(scope="session")
def looked(tmp_path_factory) -> dict[str, dict]:
    """What the browser found on each page, all of them seen by one browser with an empty profile."""
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
    found = json.loads(done.stdout)
    return {name: found[str(path)] | {"bytes": path.stat().st_size} for name, path in pages.items()}


@pytest.fixture(params=MADE)
def page(looked, request) -> dict:
    return looked[request.param]


def test_it_is_silent_and_stays_at_home(page):
    """No message in the console, and no request but for the page itself."""
    assert page["errors"] == [] and page["requests"] == []


@pytest.mark.parametrize("look", ["light", "phone dark"])
def test_anyone_can_read_it(page, look):
    """axe-core finds nothing, all parts opened, in light and dark, on a laptop and on a phone."""
    assert page["axe"][look] == []


@pytest.mark.parametrize("look", LOOKS)
def test_it_fits_the_window(page, look):
    """Nothing makes the page itself scroll sideways, at 1200, 360 and 320 pixels, whatever the classes are called."""
    assert page["looks"][look]["over"] <= 0


def test_every_picture_has_words(page):
    """Each image and drawing is there and has a text in its place."""
    assert page["looks"]["light"]["nameless"] == page["looks"]["light"]["broken"] == 0


def test_pictures_are_there(looked):
    """A finished experiment shows its pictures: the tests above looked at something."""
    assert (
        looked["three"]["looks"]["light"]["figures"] > 60
        and looked["partial"]["looks"]["light"]["figures"] == 0
    )


def test_tables_are_sorted_by_the_keyboard(looked):
    """Tab reaches each head; Enter and Space sort by it, one way and the other, and aria-sort says so."""
    found = looked["three"]["sorted"]
    assert len(found) >= 16
    for i, state in enumerate(found):
        column, first = divmod(i, 2)
        assert state["focused"]
        assert [a for c, a in enumerate(state["aria"]) if c != column] == [None] * (
            len(state["aria"]) - 1
        )
        assert state["aria"][column] == ("descending" if not first else "ascending")
        key = (lambda v: float(v)) if column else (lambda v: v)
        assert [key(v) for v in state["values"]] == sorted(
            map(key, state["values"]), reverse=not first
        )


def test_paper_hides_nothing(page):
    """Printed, every part is open and no table is cut off, with the script and by the style alone; afterwards all is as it was."""
    assert page["looks"]["paper"]["hidden"] == 0 and page["looks"]["paper"]["cut"] == []
    assert page["printed"]["pdf"] == "%PDF-" and page["printed"]["paper"] == 0
    assert page["printed"]["after"] == page["printed"]["before"]


def test_the_keyboard_goes_through_it(page):
    """Tab comes to the skip link first, is seen wherever it stands, and leaves the page at the end."""
    walked = page["walked"]
    assert (
        walked["first"] == "A Skip to the sections"
        and 12 < walked["stops"] < 2000
        and walked["unseen"] == []
    )


def test_letters_grow_with_the_readers_setting(page):
    """Letters set twice as large in the browser are so on the page, which still fits the window."""
    assert (
        page["grown"] == {"times": 2, "over": page["grown"]["over"]} and page["grown"]["over"] <= 0
    )


def test_a_finger_can_hit_what_it_points_at(page):
    """Links to the sections, heads that sort and parts that open are 24 pixels a side at least."""
    assert page["looks"]["phone"]["small"] == 0


def test_few_landmarks(page):
    """A screen reader jumps between head, sections' links, main part and foot: a table is none of them."""
    assert page["looks"]["light"]["landmarks"] == 4


def test_high_contrast_leaves_bars_and_letters(looked):
    """In forced colours the bars of importances are still there, and letters in drawings are as bright as others."""
    assert looked["trials"]["forced"]["bars"] == 0
    assert looked["trials"]["forced"]["ink"] == looked["trials"]["forced"]["text"]


def test_it_can_be_sent_by_mail(page):
    """Below 5 MB, with 200 trials of three models and with 1,000 classes."""
    assert page["bytes"] < LARGE


def test_a_broken_page_is_noticed(looked):
    """Each check above can fail: a page with every fault has every finding."""
    broken = looked["broken"]
    assert any("said" in e for e in broken["errors"]) and any(
        "thrown" in e for e in broken["errors"]
    )
    assert broken["requests"] == ["http://127.0.0.1:9/x.png"] * 5
    assert {"color-contrast", "image-alt", "html-has-lang"} <= {
        v.partition(":")[0] for v in broken["axe"]["light"]
    }
    assert (
        broken["looks"]["phone"]["over"] > 1000
        and broken["looks"]["light"]["nameless"] == broken["looks"]["light"]["broken"] == 1
    )
    assert (
        broken["walked"]["stops"] == 1
        and broken["grown"]["times"] == 1
        and broken["looks"]["phone"]["small"] == 1
    )
    assert broken["looks"]["paper"]["hidden"] == 1 and broken["printed"]["paper"] == 1
