"""Check the figures of a report on real CIFAR-10: of .ci/cifar10.toml or examples/quick.toml.

A broken net, split or score would miss these bounds. Each bound is three standard errors
(3 x 1.1 points at n = 2,000) below a measured accuracy: for quick.toml those in
docs/measured/accuracy.md; for cifar10.toml those of 2026-12-01 on two cores of an AMD EPYC
(mobilenetv2 0.792, vgg16 0.684, whitenet 0.643). Six epochs of whitenet vary more between
processors: its bound is seven points below.
"""

import json
import sys
from pathlib import Path

# Experiment -> training images, trials per model, and the least accuracy of each model.
BOUNDS = {
    "ci": (2500, 2, {"mobilenetv2": 0.76, "vgg16": 0.65, "whitenet": 0.57}),
    "quick": (5000, 3, {"mobilenetv2": 0.78, "vgg16": 0.68, "whitenet": 0.72}),
}

report = json.loads(Path(sys.argv[1]).read_text())
train, n_trials, bounds = BOUNDS[report["experiment"]]
trials = {"tasks": n_trials, "complete": n_trials, "pruned": 0, "failed": 0}
for model, least in bounds.items():
    entry = report["models"][model]
    run = entry["final"]["runs"][0]
    accuracy = run["accuracy"]
    folds = entry["fold"]["mean"]["accuracy"]
    print(f"{model}: test accuracy {accuracy:.3f}, folds {folds:.3f}")
    assert accuracy >= least, f"{model}: test accuracy {accuracy} is below {least}"
    assert entry["trial"] == entry["trial"] | trials, entry["trial"]
    assert sum(map(sum, run["confusion_matrix"])) == entry["final"]["n_test"] == 2000
assert report["data"]["train"] == train
means = {model: report["models"][model]["fold"]["mean"]["accuracy"] for model in bounds}
assert report["winner"] == max(means, key=means.get)
