"""Check the files that programs read against their published JSON Schemas."""

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@cache
def validator(name: str) -> Draft202012Validator:
    """Return the validator of `report` or `result`."""
    schema = json.loads((REFERENCE / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def expect_format(name: str, value: dict) -> None:
    """Fail if a value is not what the schema of `report` or `result` says, naming each place."""
    wrong = [f"{e.json_path}: {e.message[:200]}" for e in validator(name).iter_errors(value)]
    assert not wrong, "\n".join([f"{name}.json is not what its schema says:", *wrong])
