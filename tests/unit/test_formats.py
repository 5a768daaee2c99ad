"""The JSON Schema of report.json refuses whatever report.json does not hold."""

from copy import deepcopy

from job.report.summary import summarize
from tests.support.formats import validator
from tests.support.made_reports import ONE_MODEL, make

# Objects whose keys are names of models, parameters or packages.
OPEN = {"models", "parameters", "values", "versions"}


def objects(value, key: str = ""):
    """Yield each object below a value, with the key it stands under."""
    if isinstance(value, dict):
        yield key, value
        for name, below in value.items():
            yield from objects(below, name)
    if isinstance(value, list):
        for below in value:
            yield from objects(below, "")


def test_every_key_is_required_and_no_other_allowed():
    """A report without one of its keys, with one more, or with another type is not valid."""
    report = summarize(make(["cat", "dog"], train=40, test=20, spec=ONE_MODEL))
    valid = validator("report").is_valid
    assert valid(report)
    tried = set()
    for i, (name, there) in enumerate(objects(report)):
        for key in [*there, "extra"]:
            changed = deepcopy(report)
            (_, found) = list(objects(changed))[i]
            if key == "extra":
                found[key] = {}
            elif name in OPEN:
                found[key] = [()]
            else:
                del found[key]
            optional = (name, key) == ("intervals", "roc_auc")
            anything = name == "parameters"
            assert valid(changed) == (optional or anything), f"{key} of {name or 'an item'}"
            tried.add(key)
    assert {"schema", "winner", "class", "seed_index", "within", "lost_s", "extra"} <= tried
