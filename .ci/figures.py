"""Check the figures of a report on real CIFAR-10 (.ci/cifar10.toml).

A broken net, split or score would miss these bounds. Each bound is three standard errors
(3 x 1.1 points at n = 2,000) below the accuracy of 2026-11-29 on two cores of an AMD EPYC:
mobilenetv2 0.728, vgg16 0.594, cnn 0.480.
"""

import json
import sys
from pathlib import Path

LEAST = {"mobilenetv2": 0.69, "vgg16": 0.56, "cnn": 0.44}
TRIALS = {"tasks": 2, "complete": 2, "pruned": 0, "failed": 0}

report = json.loads(Path(sys.argv[1]).read_text())
for model, least in LEAST.items():
    entry = report["models"][model]
    run = entry["final"]["runs"][0]
    accuracy = run["accuracy"]
    folds = entry["fold"]["mean"]["accuracy"]
    print(f"{model}: test accuracy {accuracy:.3f}, folds {folds:.3f}")
    assert accuracy >= least, f"{model}: test accuracy {accuracy} is below {least}"
    assert entry["trial"] == entry["trial"] | TRIALS, entry["trial"]
    assert sum(map(sum, run["confusion_matrix"])) == entry["final"]["n_test"] == 2000
assert report["data"]["train"] == 2500
assert report["winner"] == max(LEAST, key=lambda m: report["models"][m]["fold"]["mean"]["accuracy"])
