"""The report, on synthetic results: random predictions with a given accuracy."""

import csv
import hashlib
import io
import json
import re
import tomllib
from dataclasses import replace
from datetime import timedelta
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest

from job.experiment.experiment import NEWEST
from job.experiment.serialize import toml
from job.experiment.specification import parse
from job.learning import evaluate
from job.report import predictions, report
from job.report import summary as summaries
from job.report.artifacts import Artifacts
from job.report.collect import read_best_trial
from job.report.curves import calibration, confusions, roc
from job.report.figures import draw
from job.report.leaderboard import leaderboard
from job.report.page import num, render, share
from job.report.results import Attempt, Collected, Model, Task
from job.report.summary import to_text
from job.storage.cache_folder import CacheFolder
from job.storage.store import open_store
from tests.support.formats import expect_format
from tests.support.made_reports import ONE_MODEL, SPEC, START, make, predict, text_of


def summarize(collected: Collected) -> dict:
    """Return the content of report.json, which is what its schema says."""
    made = summaries.summarize(collected)
    expect_format("report", made)
    return made


@cache
def finished() -> tuple[dict, dict[str, bytes]]:
    """Return the summary and the files of a finished experiment."""
    collected = make()
    summary = summarize(collected)
    return summary, report.assemble(collected, summary)


def page_of(collected: Collected, pictures: bool = False) -> str:
    """Return the page. Drawing takes seconds, so pictures are optional."""
    summary = summarize(collected)
    return render(collected, summary, draw(collected, summary) if pictures else {})


def remove_fold(collected: Collected, state: str = "waiting") -> Collected:
    """Remove the result of fold 1 of mobilenetv2."""
    model = collected.models["mobilenetv2"]
    reason = "3 attempts failed in a row, the last with: OOM" if state == "failed" else None
    model.tasks["fold"][1] = Task("fold", 1, state, reason=reason)
    del model.predictions[("fold", 1)]
    return collected


def test_report_json_is_what_was_summarized():
    """report.json holds the summary, which has every key of its schema, since programs read it."""
    summary, files = finished()
    assert json.loads(files["report.json"]) == summary
    assert summary["schema"] == 1
    assert summary["selected_by"] == "fold mean accuracy"


def test_order_is_by_mean_fold_score_not_by_test_score():
    """The winner has the best mean fold score, though another is better on the test part."""
    summary, files = finished()
    test = {name: m["final"]["runs"][0]["accuracy"] for name, m in summary["models"].items()}
    assert max(test, key=test.get) == "vgg16"
    assert summary["winner"] == "mobilenetv2"
    assert summary["order"] == ["mobilenetv2", "vgg16", "cnn"]
    rows = files["leaderboard.csv"].decode().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == summary["order"]


def test_log_loss_is_better_when_lower():
    """With `metric = "log_loss"` the lowest mean wins."""
    summary = summarize(make(spec=SPEC | {"search": SPEC["search"] | {"metric": "log_loss"}}))
    means = [summary["models"][name]["fold"]["mean"]["log_loss"] for name in summary["order"]]
    assert means == sorted(means)
    assert summary["selected_by"] == "fold mean log_loss"


def test_the_test_score_of_the_metric_is_at_the_top():
    """With balanced accuracy as metric, its test score and interval appear beside the accuracy."""
    spec = SPEC | {"search": SPEC["search"] | {"metric": "balanced_accuracy"}}
    collected = make(spec=spec)
    metrics = collected.models["mobilenetv2"].tasks["final"][0].metrics
    metrics["balanced_accuracy"] = 0.6125
    metrics["intervals"]["balanced_accuracy"] = [0.501, 0.7123]
    top = text_of(page_of(collected)).partition("Intervals account for")[0]
    assert "its balanced_accuracy is 0.613" in top.replace("0.612", "0.613")
    assert top.count("0.501–0.712") == 3, "sentence, figure, table"
    rows = list(csv.DictReader(io.StringIO(leaderboard(summarize(collected)))))
    assert {row["model"]: row["test_score"] for row in rows}["mobilenetv2"] == "0.6125"
    assert "test balanced_accuracy" not in text_of(page_of(make())).lower()


def test_mean_and_out_of_fold_are_of_all_folds():
    """Mean and range are those of the folds; out-of-fold accuracy counts every image once."""
    fold = finished()[0]["models"]["cnn"]["fold"]
    values = [f["accuracy"] for f in fold["folds"]]
    assert fold["mean"]["accuracy"] == pytest.approx(np.mean(values))
    assert fold["range"]["accuracy"] == [min(values), max(values)]
    assert fold["out_of_fold"]["n"] == 400
    assert fold["out_of_fold"]["accuracy"] == pytest.approx(np.mean(values))
    low, high = fold["out_of_fold"]["interval"]
    assert low < fold["out_of_fold"]["accuracy"] < high
    assert fold["n_train"] == 200


def test_a_missing_fold_is_never_averaged_away():
    """Without one fold a model has no mean, no range and no pooled accuracy, and nobody wins."""
    collected = remove_fold(make())
    summary = summarize(collected)
    fold = summary["models"]["mobilenetv2"]["fold"]
    assert fold["mean"] is None
    assert fold["range"] is None
    assert fold["out_of_fold"] is None
    assert summary["winner"] is None
    assert "mobilenetv2" not in summary["order"]
    text = text_of(page_of(collected))
    assert "No winner yet" in text
    assert "mobilenetv2: 1 of 2 fold tasks missing (1 waiting)" in text
    assert "This report is partial" in text


def test_a_failed_model_leaves_the_comparison_with_a_reason():
    """If a model can no longer get a mean, the best of the others wins and the page says why."""
    collected = remove_fold(make(), "failed")
    summary = summarize(collected)
    assert summary["winner"] == "vgg16"
    words = (
        "mobilenetv2 is out of the comparison: fold 1 failed for good"
        " (3 attempts failed in a row, the last with: OOM)"
    )
    assert any(words in line for line in summary["missing"])
    assert leaderboard(summary).splitlines()[-1].startswith(",mobilenetv2,")


def test_incomplete_out_of_fold_rows_are_not_pooled():
    """Predictions that miss a training image give no pooled accuracy."""
    collected = make()
    part = collected.models["cnn"].predictions[("fold", 0)]
    columns = ("labels", "rows", "guesses", "confidence", "truth")
    shorter = replace(part, **{name: getattr(part, name)[1:] for name in columns})
    collected.models["cnn"].predictions[("fold", 0)] = shorter
    summary = summarize(collected)
    assert summary["models"]["cnn"]["fold"]["out_of_fold"] is None
    assert any("cnn has no pooled out-of-fold accuracy" in m for m in summary["missing"])


def test_an_experiment_without_any_result_has_a_report():
    """Right after `prepare`, the report says that everything is missing."""
    collected = make()
    collected.attempts = []
    collected.openings = []
    collected.samples = None
    stages = ("trial", "fold", "final")
    for name in collected.models:
        waiting = {stage: [Task(stage, i, "waiting") for i in range(2)] for stage in stages}
        collected.models[name] = Model(name, waiting)
    text = text_of(page_of(collected))
    assert "No winner yet" in text
    assert "Nothing is selected yet" in text
    assert "before the first attempt" in text


def test_rows_without_their_artifacts_have_a_report():
    """If the store has lost the artifacts, the page shows the rows' figures and names the loss."""
    collected = make()
    for model in collected.models.values():
        model.predictions = {}
        model.results = {}
        model.augmentation = None
    collected.problems.append("cnn final 0: predictions.npz is not in the store under x")
    summary = summarize(collected)
    assert summary["winner"] == "mobilenetv2"
    assert summary["differences"] == []
    assert "cnn final 0: predictions.npz is not in the store under x." in page_of(collected)


def test_the_original_works_figures_are_qualified():
    """The page says what the original leaves open, and what 100 images would mean."""
    _, files = finished()
    text = text_of(files["index.html"].decode())
    assert "The original work does not state its test subset." in text
    assert re.search(
        r"about 100 images; with that many, 0\.57 has a 95 % Wilson interval of 0\.47–0\.66 and"
        r" 0\.46 has a 95 % Wilson interval of 0\.37–0\.56",
        text,
    )
    assert "Its averages appear to be class-weighted: recall equals accuracy." in text
    assert "the original work’s best, trial 0" in text


def test_without_references_the_page_has_none():
    """Sentences on references come from the experiment's file, not from the code."""
    other = make(spec=SPEC | {"reference": [{"name": "a paper", "model": "cnn", "accuracy": 0.8}]})
    text = text_of(page_of(other))
    assert "a paper" in text
    assert "original work does not state" not in text
    none = make(spec={k: v for k, v in SPEC.items() if k != "reference"})
    assert "Comparison with reference figures" not in text_of(page_of(none))


LINKS = ("src", "href", "xlink:href", "action", "data", "poster", "srcset")


class Page(HTMLParser):
    """Collect the targets a browser would follow, and count pictures without a description."""

    def __init__(self, text: str):
        super().__init__()
        self.targets = []
        self.ids = []
        self.without_alt = 0
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Collect what a tag refers to."""
        attrs = dict(attrs)
        self.targets += [value for name, value in attrs.items() if name in LINKS]
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.scripts += tag == "script"
        if tag == "img" and not attrs.get("alt"):
            self.without_alt += 1
        if tag == "svg" and not attrs.get("aria-label"):
            self.without_alt += 1


def test_the_page_asks_nothing_of_the_network():
    """Every src and href is inline data or an anchor of the page, and no style is imported.

    All ids are unique.
    """
    page = finished()[1]["index.html"].decode()
    seen = Page(page)
    assert all(t.startswith(("data:", "#")) for t in seen.targets)
    assert len(seen.ids) == len(set(seen.ids))
    assert {t[1:] for t in seen.targets if t.startswith("#")} <= set(seen.ids)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "http" not in page.replace("http-equiv", "")
    assert seen.without_alt == 0
    assert seen.scripts == 1


def test_every_machine_that_took_part_is_named():
    """The page names both processors of a training that resumed on another one.

    The same bits are promised on one processor only.
    """
    collected = make(["cat", "dog"])
    result = next(m for m in collected.models.values() if m.results)
    next(iter(result.results.values()))["machines"] = [
        {"cpu": "first", "tensorflow": "2.21.0", "device": "cpu"},
        {"cpu": "second", "tensorflow": "2.21.0", "device": "cpu"},
    ]
    assert "on first, then on second" in page_of(collected)


def test_class_names_are_text_everywhere():
    """A class called <script> or $x$ is shown, neither run nor typeset."""
    classes = ["<script>alert(1)</script>", '$x$ & "y"', "' onload='", "cat"]
    page = page_of(make(classes), pictures=True)
    assert Page(page).scripts == 1
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "$x$" in page


def test_many_classes_give_a_table_of_confusions():
    """Over 20 classes no matrix is drawn: the 20 most frequent confusions are listed."""
    collected = make([f"class {i}" for i in range(24)], train=96, test=96)
    files = report.assemble(collected, summarize(collected))
    assert "confusion-cnn.svg" not in files
    assert "The most frequent confusions of cnn" in files["index.html"].decode()
    assert len(files["index.html"]) < 5_000_000


def test_equal_rows_give_equal_bytes():
    """A report written twice is the same to the last byte: no dates, no random ids."""
    collected = make()
    assert report.assemble(collected, summarize(collected)) == finished()[1]


def test_lost_time_is_what_no_task_saved():
    """An interrupted attempt loses what it did not save, a vanished one everything."""
    beat = START + timedelta(seconds=80)
    times = {"started": START, "last_beat": beat, "ended": START + timedelta(seconds=100)}

    def lost(outcome: str, **more) -> float:
        return Attempt("cnn", "trial", 0, 1, **times, outcome=outcome, **more).lost_s

    seconds = {"train": 60.0, "evaluate": 10.0, "import": 5.0}
    assert lost("complete") == 0
    assert lost("interrupted", first_step=0, last_step=9, seconds=seconds) == 30
    assert lost("error", seconds=seconds) == 100
    assert lost("vanished") == 80
    assert Attempt("cnn", "trial", 0, 1, START, beat).lost_s == 0


def test_scores_that_do_not_exist_are_explained():
    """A missing ROC-AUC is null with a reason; an undefined precision counts as 0 and is listed."""
    collected = make()
    task = collected.models["cnn"].tasks["final"][0]
    reason = "no image, or nothing but images, of bird"
    task.metrics.update(roc_auc=None, roc_auc_reason=reason, undefined_precision=["cat"])
    task.metrics["intervals"].pop("roc_auc")
    text = text_of(page_of(collected))
    assert "No ROC-AUC: no image, or nothing but images, of bird." in text
    assert "Never predicted: cat. Precision is undefined there and counted as 0." in text


def test_nan_never_reaches_report_json():
    """report.json is JSON: what is not a number is null."""
    collected = make()
    collected.models["cnn"].tasks["final"][0].metrics["log_loss"] = float("nan")
    summary = summarize(collected)
    assert summary["models"]["cnn"]["final"]["runs"][0]["log_loss"] is None
    assert json.loads(to_text(summary)) == summary


def test_the_recipe_makes_the_same_experiment():
    """The file printed on the page has the fingerprint of its experiment."""
    experiment = parse(SPEC)
    again = parse(tomllib.loads(toml(experiment.spec)))
    assert again == experiment
    assert again.fingerprint == experiment.fingerprint


def test_roc_points_agree_with_the_area():
    """The drawn line encloses the area that evaluate() returns; one class alone has no line."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    positive = rng.random(5000) < 0.3
    scores = rng.random(5000)
    scores[positive] += 0.4
    area = np.trapezoid(roc(positive, scores), np.linspace(0, 1, 101))
    assert area == pytest.approx(roc_auc_score(positive, scores), abs=2e-3)
    assert roc(np.ones(3, bool), np.ones(3)) is None


def test_calibration_error_of_honest_confidence_is_small():
    """Confidence 0.8 that is right 4 times in 5 has no error; 1.0 never right has error 1."""
    right = np.array([True, True, True, True, False])
    assert calibration(right, np.full(5, 0.8))[1] == pytest.approx(0)
    assert calibration(np.array([False, False]), np.ones(2))[1] == pytest.approx(1)


def test_confusions_are_the_largest_off_the_diagonal():
    """Correct answers are no confusions, and pairs that never occur are not listed."""
    assert confusions([[9, 1, 0], [3, 7, 0], [0, 0, 5]], ["a", "b", "c"], 5) == [
        {"true": "b", "predicted": "a", "n": 3, "share": 0.3},
        {"true": "a", "predicted": "b", "n": 1, "share": 0.1},
    ]


def test_equal_scores_are_written_alike():
    """0.7575 rounds alike as a score, as a percentage, and one bit lower."""
    assert num(0.7575) == num(0.7575 - 1e-16) == "0.758"
    assert share(0.7575) == "75.8 %"
    assert num(-0.7575) == "−0.758"


def revalue(model: Model, value) -> None:
    """Set the value of each trial to `value(trial)`."""
    model.tasks["trial"] = [replace(trial, value=value(trial)) for trial in model.stage("trial")]


def test_importances_come_from_20_complete_trials_on():
    """From 20 complete trials on, each parameter has an importance.

    With fewer trials the page says why there is none.
    """
    few = make(trials=20, spec=ONE_MODEL)  # one of them is pruned
    assert summarize(few)["models"]["cnn"]["trial"]["importances"] == {
        "trials": 19,
        "values": None,
        "reason": "19 complete trials are too few, 20 are needed",
    }
    words = "No parameter importances: 19 complete trials are too few, 20 are needed."
    assert words in text_of(page_of(few))
    enough = make(trials=30, spec=ONE_MODEL)

    def by_rate(trial: Task) -> float:
        return 0.5 + 0.1 * np.log10(trial.parameters["learning_rate"])

    revalue(enough.models["cnn"], by_rate)
    found = summarize(enough)["models"]["cnn"]["trial"]["importances"]
    assert list(found["values"]) == ["learning_rate", "batch_size"]
    assert found["values"]["learning_rate"] > 0.8
    assert sum(found["values"].values()) == pytest.approx(1)
    assert "Which parameter made the difference, cnn" in text_of(page_of(enough))


def test_equal_trials_have_no_importances():
    """Equal values give a sentence, not an error."""
    collected = make(trials=25, spec=ONE_MODEL)
    revalue(collected.models["cnn"], lambda _: 0.5)
    found = summarize(collected)["models"]["cnn"]["trial"]["importances"]
    assert found["values"] is None
    assert found["reason"] == "all complete trials have the same value"


def make_searched_trials(**fixed) -> Collected:
    """Make trials that search every parameter that is not fixed here."""
    parameters = SPEC["parameters"] | fixed
    collected = make(spec=ONE_MODEL | {"search": {"trials": 6}, "parameters": parameters})
    model = collected.models["cnn"]
    trials = []
    for trial in model.stage("trial"):
        varied = {k: v for k, v in trial.parameters.items() if k not in fixed}
        trials.append(replace(trial, parameters=varied, value=0.5 + trial.index / 100))
    model.tasks["trial"] = trials
    return collected


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        (
            {"batch_size": 64},
            r"cnn: accuracy of 5 complete trials by learning rate, from 0\.500 to 0\.550;"
            r" the best has learning rate 0\.00\d+\.",
        ),
        (
            {"learning_rate": 0.001},
            r"cnn: accuracy of 5 complete trials by batch size, from 0\.500 to 0\.550;"
            r" the best has batch size \d+\.",
        ),
        (
            {},
            r"by learning rate and batch size, from 0\.500 to 0\.550;"
            r" the best has learning rate 0\.00\d+ and batch size \d+\.",
        ),
    ],
)
def test_what_was_searched_is_drawn(fixed, words):
    """Learning rate and batch size are drawn against each other, or the value against one."""
    assert re.search(
        f'aria-label="[^"]*{words}"', page_of(make_searched_trials(**fixed), pictures=True)
    )


def test_where_nothing_varies_the_page_says_so():
    """Where a picture is missing, a sentence says why."""
    page = page_of(make_searched_trials(learning_rate=0.001, batch_size=64), pictures=True)
    words = "No picture of learning rate and batch size: neither varies among 5 complete trials."
    assert words in text_of(page)
    assert "complete trials by" not in page


def test_a_picture_of_roc_says_what_is_drawn():
    """Over 20 classes there is only the macro line; a class without images has no line."""
    few = page_of(make(["cat", "dog"]), pictures=True)
    assert "one-vs-rest: 2 of 2 classes and the macro average, AUC 0." in few
    classes = [f"class {i}" for i in range(24)]
    many = page_of(make(classes, train=96, test=96, spec=ONE_MODEL), pictures=True)
    assert "one-vs-rest: the macro average, AUC 0." in many
    assert "ROC, one-vs-rest, macro average of all classes." in many
    lacking = make(classes, train=96, test=95 - 72, spec=ONE_MODEL)
    assert "roc-cnn.svg" not in draw(lacking, summarize(lacking))


def test_the_lines_of_all_models_have_their_areas_in_words():
    """The description of the ROC picture gives the area of each model."""
    page = finished()[1]["index.html"].decode()
    areas = ", ".join(rf"{name} \(AUC 0\.\d{{3}}\)" for name in ("cnn", "mobilenetv2", "vgg16"))
    assert re.search(rf"Macro ROC lines on the test part: {areas}\.", page)


def test_column_heads_read_aloud():
    """A screen reader gets column heads and figures in one sentence with the text below them."""
    text = text_of(finished()[1]["index.html"].decode())
    assert "mean fold accuracy and range" in text
    assert "test accuracy and 95 % interval" in text
    assert "folds and n trained on" in text
    assert "2 of 2 n = 200" in text
    assert re.search(r"Test accuracy 0\.840 95 % interval 0\.783–0\.884 , n = 200", text)


def test_trials_within_the_interval_of_the_best_are_counted():
    """The page counts the other complete trials within the interval, even before a selection."""
    collected = make()
    model = collected.models["cnn"]
    revalue(model, lambda trial: (0.60, 0.59, 0.40, 0.30, 0.60, 0.10)[trial.index])
    model.selection = None
    best = summarize(collected)["models"]["cnn"]["trial"]["best"]
    assert (best["index"], best["value"], best["within"]) == (0, 0.60, 1)  # trial 4 is pruned
    assert best["interval"][0] < 0.59
    assert best["interval"][0] > 0.40
    text = text_of(page_of(collected))
    assert "Nothing is selected yet; the best so far is trial 0 with 0.600" in text
    assert "1 of the 4 other complete trials lies within" in text

    revalue(model, lambda trial: 0.60 if trial.index == 0 else 0.10)
    assert (
        "None of the 4 other complete trials lies within that interval:"
        " as far as these images tell," in text_of(page_of(collected))
    )
    model.tasks["trial"] = model.stage("trial", "complete")[:2]
    assert "The other complete trial lies outside that interval:" in text_of(page_of(collected))


def test_the_best_trial_of_another_metric_has_an_interval_from_its_predictions(tmp_path):
    """For log loss the best trial's predictions are read from the store and resampled."""
    collected = make(spec=SPEC | {"search": SPEC["search"] | {"metric": "log_loss"}})
    model = collected.models["cnn"]
    store = open_store(f"file://{tmp_path}", 5)
    assert summarize(collected)["models"]["cnn"]["trial"]["best"]["interval"] is None
    predicted = predict(np.arange(80), np.arange(80) % 4, 4, 0.6, seed=5)
    content = predicted.stored()
    store.put("trial/predictions.npz", content)
    sha256 = hashlib.sha256(content).hexdigest()
    entry = {"key": "trial/predictions.npz", "sha256": sha256, "size": len(content)}
    lowest = min(model.stage("trial", "complete"), key=lambda t: t.value)
    lowest.artifact["predictions.npz"] = entry
    artifacts = Artifacts(store, CacheFolder(tmp_path / "cache"), collected.problems)
    read_best_trial(artifacts, model, collected.experiment)
    best = summarize(collected)["models"]["cnn"]["trial"]["best"]
    assert best["index"] == lowest.index
    labels, p = predicted.labels, predicted.probabilities
    assert best["interval"] == evaluate.intervals(labels, p, 0, method=NEWEST)["log_loss"]


def test_the_time_of_every_attempt_is_accounted_for():
    """A stage's parts add up to its attempts' time, and the stages to the experiment's."""
    times = summarize(make())["times"]
    stages = ("trial", "fold", "final")
    every = {(model, stage) for model in SPEC["models"] for stage in stages}
    assert {(t["model"], t["stage"]) for t in times} == every
    for t in times:
        parts = {name for name in t if name.endswith("_s")} - {"wall_s", "lost_s"}
        assert sum(t[part] for part in parts) == pytest.approx(t["wall_s"])
        assert t["train_s"] == 50 * t["attempts"]
        assert t["wall_s"] == 60 * t["attempts"]
    collected = make()
    collected.attempts.append(replace(collected.attempts[0], outcome="vanished"))
    summary = summarize(collected)
    lost = {m: summary["models"][m]["cost"]["lost_s"] for m in SPEC["models"]}
    by_stages = dict.fromkeys(SPEC["models"], 0)
    for t in summary["times"]:
        by_stages[t["model"]] += t["lost_s"]
    assert by_stages == pytest.approx(lost)
    assert sum(lost.values()) == collected.attempts[0].wall_s


@pytest.mark.parametrize(
    ("feeding", "said"),
    [
        ({"steps_s": 100.0, "waited_s": 6.0}, True),
        ({"steps_s": 100.0, "waited_s": 4.0}, False),
        ({"steps_s": 0.0, "waited_s": 0.0}, False),
        (None, False),
    ],
    ids=["6 %", "4 %", "resumed after its last step", "an older result"],
)
def test_a_long_wait_for_data_is_said(feeding, said):
    """The page says what to do where steps waited for data for more than 5 % of their time."""
    collected = make(train=80, test=40, spec=ONE_MODEL)
    result = collected.models["cnn"].results[("final", 0)]
    del result["feeding"]
    if feeding:
        result["feeding"] = feeding
    text = text_of(page_of(collected))
    assert ("waited for data for 6.0 % of their time" in text) == said
    assert ("JOB_CACHE_DIR" in text) == said


def test_mistakes_are_shown_with_words():
    """Each mistake has a picture and words.

    The page says so if a final has no mistakes, or none that are stored.
    """
    page = finished()[1]["index.html"].decode()
    assert page.count('<ul class="mistakes">') == 3
    classes = "(bird|cat|airplane|automobile)"
    words = rf"test image \d+, {classes}, taken for \w+ with confidence 0\.\d\d"
    assert re.search(f'alt="{words}"', page)
    collected = make()
    collected.models["cnn"].mistakes = None
    stored = collected.models["vgg16"].mistakes
    collected.models["vgg16"].mistakes = {key: value[:0] for key, value in stored.items()}
    text = text_of(page_of(collected))
    assert "They are not stored: this final was run by an older version." in text
    assert "There are none: every test image was classified correctly." in text


def many_classes(k: int) -> Collected:
    """Return one model whose class number i has the F1 i / k, and the last class none."""
    collected = make(spec=ONE_MODEL)
    collected.data = replace(
        collected.data,
        classes=[f"c{i}" for i in range(k)],
        train_counts=[k - i for i in range(k)],
        test_counts=[7] * k,
    )
    metrics = collected.models["cnn"].tasks["final"][0].metrics
    row = metrics["per_class"][0]
    metrics["per_class"] = [row | {"class": f"c{i}", "f1": i / k} for i in range(k)]
    metrics["per_class"][-1]["f1"] = None
    return collected


def tables_of(page: str) -> dict[str, list[str]]:
    """Return the heads of the rows of each table on a page, by its caption."""
    return {
        caption: re.findall(r'<th scope="row">(.*?)</th>', body)
        for caption, body in re.findall(
            r"<caption>(.*?)</caption>(.*?)</table>", page, flags=re.DOTALL
        )
    }


def names(numbers) -> list[str]:
    """Return the names of classes by their numbers."""
    return [f"c{i}" for i in numbers]


def test_few_classes_are_all_in_sight():
    """Up to 20 classes stand in one table, and nothing refers to report.json for them."""
    page = page_of(many_classes(20))
    assert tables_of(page)["Per class, cnn"] == names(range(20))
    assert "classes with the lowest F1" not in page
    assert "per_class" not in page


@pytest.mark.parametrize("k", [21, 200])
def test_the_ends_of_many_classes_are_in_sight(k):
    """Of over 20 classes, those with the lowest and the highest F1 show; all are folded below."""
    page = page_of(many_classes(k))
    tables = tables_of(page)
    assert tables["The 10 classes with the lowest F1, cnn"] == names(range(10))
    # The last class has no F1.
    assert tables["The 10 classes with the highest F1, cnn"] == names(range(k - 2, k - 12, -1))
    assert tables[f"All {k} classes, cnn"] == names(range(k))
    folded = f"<details><summary>All {k} classes of cnn</summary>"
    assert page.index(folded) > page.index("The 10 classes with the highest F1, cnn")


def test_of_very_many_classes_the_weakest_are_listed():
    """Of over 200 classes, 200 rows are folded; the page says where the scores of all are."""
    collected = many_classes(1500)
    page = page_of(collected)
    tables = tables_of(page)
    assert tables["The 200 classes with the lowest F1, cnn"] == names(range(200))
    text = text_of(page)
    words = "The scores of all 1,500 classes and the whole confusion matrix are in report.json ,"
    assert words in text
    assert "below models.cnn.final.runs , as per_class and confusion_matrix ." in text
    run = summarize(collected)["models"]["cnn"]["final"]["runs"][0]
    assert len(run["per_class"]) == 1500
    assert "confusion_matrix" in run
    counted = "Images of each class, the 1,000 of 1,500 classes with the fewest training images"
    assert tables[counted] == names(range(1499, 499, -1))
    assert "These are samples of the first" not in text  # it is rendered without pictures


def test_samples_of_some_classes_say_so():
    """With more classes than samples, the page says how many classes are shown."""
    some = make([f"class {i}" for i in range(24)], train=96, test=96, spec=ONE_MODEL)
    words = "These are samples of the first 20 of 24 classes."
    assert words in text_of(page_of(some, pictures=True))
    few = make(["cat", "dog"], spec=ONE_MODEL)
    assert "These are samples of" not in text_of(page_of(few, pictures=True))


def test_a_page_of_300_classes_is_small():
    """Each class adds less than 1 kB to the page of a model: 1,000 classes stay below 5 MB."""

    def size(k: int) -> int:
        classes = [f"a class of number {i}" for i in range(k)]
        collected = make(classes, train=2 * k, test=k, spec=ONE_MODEL)
        return len(report.assemble(collected, summarize(collected))["index.html"])

    few, many = size(50), size(300)
    assert (many - few) / 250 < 1000
    assert many + 700 * (many - few) / 250 < 5_000_000


def test_lines_from_a_part_of_the_images_say_so(monkeypatch):
    """Where ROC lines are drawn from some images only, the page says from how many."""
    classes = [f"class {i}" for i in range(24)]

    def page() -> str:
        return text_of(page_of(make(classes, train=96, test=96, spec=ONE_MODEL), pictures=True))

    words = "The line is drawn from 48 of the images, the same share of each class"
    assert words not in page()
    monkeypatch.setattr(predictions, "LINES_MOST", 48 * 24)
    assert words in page()


def test_damaged_images_are_counted():
    """report.json counts the image files that were left out, and the page says so; else 0."""
    collected = make()
    assert summarize(collected)["data"]["damaged"] == 0
    assert "could not be read" not in text_of(page_of(collected))
    collected.data = replace(collected.data, damaged=["cat/1.jpg", "dog/<2>.jpg"])
    assert summarize(collected)["data"]["damaged"] == 2
    assert "2 image files could not be read and were left out" in text_of(page_of(collected))
    collected.data = replace(collected.data, damaged=["cat/1.jpg"])
    assert "1 image file could not be read and was left out" in text_of(page_of(collected))
