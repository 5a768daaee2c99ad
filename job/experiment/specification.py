"""The specification of an experiment: a TOML file, read and checked to the last key."""

import re
import tomllib
from pathlib import Path

from job.errors import Invalid
from job.experiment.backbones import BACKBONES
from job.experiment.experiment import METRICS, NEWEST, TPE_STARTUP_TRIALS, UNSAID, Experiment
from job.experiment.parameters import (
    MODELS,
    OWN,
    Choice,
    Kind,
    Range,
    contains,
    own_kinds,
    read_parameter,
    to_json,
)
from job.sentences import expect, nearest, show
from job.settings import HARMLESS

NAME = re.compile(r"[a-z0-9-]{1,40}")
TUNING_RATE = 1e-3  # docs/measured/defaults.md
HYPERBAND_MIN_TRIALS = 20


class Size(Kind):
    """A side of a square in pixels, or [height, width]."""

    def check(self, value, where: str):
        if isinstance(value, list) and len(value) == 2:
            return [super(Size, self).check(side, where) for side in value]
        return super().check(value, where)

    def expected(self) -> str:
        return f"{super().expected()}, the side of a square, or [height, width]"


# One table: section -> key -> what it may be. `None` as default: may be left out.
SECTIONS = {
    "": {
        "name": Kind(str, ...),
        "seed": Kind(int, 0, low=0, high=2**31 - 1),
        "threads": Kind(int, 2, low=1, high=1024),
        "method": Kind(int, NEWEST, low=1, high=NEWEST),
    },
    "data": {
        "source": Kind(str, ...),
        "train": Kind(int, None, low=2, high=10**9),
        "test": Kind(int, None, low=1, high=10**9),
        "holdout": Kind(float, 0.2, low=0.01, high=0.9),
        "validation": Kind(float, 0.2, low=0.01, high=0.9),
        "image_size": Size(int, None, low=8, high=2048),
        "groups": Kind(str, None),
    },
    "search": {
        "trials": Kind(int, 10, low=1, high=1_000_000),
        "metric": Kind(str, "accuracy", options=tuple(METRICS)),
        "sampler": Kind(str, "tpe", options=("tpe", "random")),
        "pruner": Kind(str, "none", options=("none", "median", "hyperband")),
        "min_epochs": Kind(int, 1, low=1, high=100_000),
    },
    "features": {"shards": Kind(int, 1, low=1, high=10_000)},
    "folds": {"count": Kind(int, 5, low=2, high=1000)},
    "final": {"seeds": Kind(int, 1, low=1, high=1000)},
}
# Came later than experiments that are in databases: left out of the specification.
OFF = {"unfreeze": 0, "class_weights": "none", "dtype": "float32"}
REFERENCE = ("accuracy", "precision", "recall", "f1", "roc_auc")


def load(path: str | Path) -> Experiment:
    """Read and check an experiment file. Raises: Invalid, naming file, key and value."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise Invalid(
            f"{path}: no such file; expected an experiment file like examples/quick.toml"
        ) from exc
    except OSError as exc:
        raise Invalid(
            f"{path}: cannot be read ({exc.strerror}); expected an experiment file like examples/quick.toml"
        ) from exc
    except UnicodeDecodeError as exc:
        raise Invalid(
            f"{path} is not UTF-8 text ({exc.reason} at byte {exc.start}): save it as UTF-8"
        ) from exc
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise Invalid(f"{path} is not TOML: {exc}") from exc
    try:
        experiment = parse(tree)
        _keep_secrets_out(experiment)
    except Invalid as exc:
        raise Invalid(f"{path}: {exc}") from exc
    return experiment


def _keep_secrets_out(experiment: Experiment) -> None:
    """Refuse a URL with a password or a query: the file goes into the database, the report and the model card as it is."""
    for key in ("source", "groups"):
        scheme, separator, rest = str(experiment.data[key]).partition("://")
        place, _, query = rest.partition("?")
        if separator and (
            "@" in place or not HARMLESS.fullmatch(query)
        ):  # a raw "/" in a password hides where it ends
            way = (
                "give the whole URL by --data or JOB_DATA"
                if key == "source"
                else "put the file into the data or beside it"
            )
            raise Invalid(
                f"data.{key} is a {scheme}:// URL with a password or a query that may be a secret,"
                f" and what stands here is stored and shown: {way}"
            )


def stored(spec: dict) -> Experiment:
    """Return the experiment of a canonical form (`Experiment.spec`), as the database has it. Raises: Invalid."""
    return parse(UNSAID | spec)


def parse(tree: dict) -> Experiment:
    """Check a tree as read from TOML and fill in the defaults: without a method it is the newest."""
    tree = dict(tree)
    shared, models = tree.pop("parameters", {}), tree.pop("models", None)
    references = tree.pop("reference", [])
    search = dict(_table(tree.get("search", {}), "[search]"))
    enqueue = search.pop("enqueue", [])
    top = {k: v for k, v in tree.items() if k not in SECTIONS}
    known = [*SECTIONS[""], *(s for s in SECTIONS if s), "parameters", "models", "reference"]
    for key in top:
        expect(key in known, f"unknown key '{key}'{nearest(key, known)}")
    values = {"": _section("", top)} | {
        s: _section(s, tree.get(s, {})) for s in SECTIONS if s and s != "search"
    }
    values["search"] = _section("search", search)
    name = values[""]["name"]
    expect(bool(NAME.fullmatch(name)), f"name = {show(name)}: expected 1 to 40 of a-z, 0-9 and '-'")
    models = _models(models, _table(shared, "[parameters]"))
    expect(
        isinstance(references, list),
        f"reference = {show(references)}: expected [[reference]] tables",
    )
    experiment = Experiment(
        **values[""],
        says_method="method" in top,
        **{s: values[s] for s in SECTIONS if s},
        enqueue=_enqueue(enqueue, models),
        models=models,
        references=tuple(_reference(r, i, models) for i, r in enumerate(references)),
    )
    return _judge(experiment)


def _section(section: str, values) -> dict:
    """Check one section against its table of keys."""
    kinds, prefix = SECTIONS[section], f"{section}." if section else ""
    values = _table(values, f"[{section}]")
    for key in values:
        expect(
            key in kinds,
            f"unknown key '{prefix}{key}'{nearest(key, kinds)}; [{section or 'top level'}] knows {', '.join(kinds)}",
        )
    for key, kind in kinds.items():
        expect(
            kind.default is not ... or key in values,
            f"`{prefix}{key}` is missing: expected {kind.expected()}",
        )
    return {
        k: kind.check(values[k], prefix + k) if k in values else kind.default
        for k, kind in kinds.items()
    }


def _table(value, where: str) -> dict:
    expect(isinstance(value, dict), f"{where} = {show(value)}: expected a table")
    return value


def _models(models, shared: dict) -> dict[str, dict]:
    expect(
        isinstance(models, dict) and bool(models),
        "`[models.<name>]` is missing: expected at least one of " + ", ".join(MODELS),
    )
    known = {key for kinds in MODELS.values() for key in kinds}
    for key in shared:
        expect(key in known, f"unknown key 'parameters.{key}'{nearest(key, known)}")
        expect(
            any(key in MODELS.get(m, OWN) for m in models),
            f"parameters.{key}: none of the models {', '.join(models)} has it",
        )
    return {
        name: _model(name, _table(own, f"[models.{name}]"), shared) for name, own in models.items()
    }


def _kinds(name: str, own: dict, shared: dict) -> dict[str, Kind]:
    """Return what each key of a model may be; raise `Invalid` for an unknown model or key."""
    if name not in MODELS and "factory" in own:
        expect(
            bool(NAME.fullmatch(name)),
            f"[models.{name}]: expected a name of 1 to 40 of a-z, 0-9 and '-'",
        )
        return own_kinds(own, f"models.{name}")
    expect(
        name in MODELS,
        f"unknown model '{name}' in [models.{name}]{nearest(name, MODELS)}; expected one of {', '.join(MODELS)}, or one of your own with"
        ' factory = "package.module:function"',
    )
    frozen = name in BACKBONES and not own.get("unfreeze", shared.get("unfreeze"))
    kinds = MODELS[name] | (
        {"augment": Kind(dict, {}, tunable=False)} if name in BACKBONES and not frozen else {}
    )
    for key in own:
        reason = (
            "; a frozen base sees clean images once, its features are stored: augment cannot act"
            if key == "augment" and frozen
            else ""
        )
        reason = (
            f"; {name} is a model of this program: give yours another name"
            if key == "factory"
            else reason
        )
        expect(
            key in kinds,
            f"unknown key 'models.{name}.{key}'{'' if reason else nearest(key, kinds)}; {name} knows {', '.join(kinds)}{reason}",
        )
    expect(
        "augment" not in shared or not frozen,
        f"parameters.augment would reach {name}: a frozen base sees clean images; move it to [models.cnn]",
    )
    return kinds


def _model(name: str, own: dict, shared: dict) -> dict:
    result = {}
    for key, kind in _kinds(name, own, shared).items():
        section, values = (f"models.{name}", own) if key in own else ("parameters", shared)
        if key in values or kind.default is not None:
            result[key] = read_parameter(kind, values.get(key, kind.default), f"{section}.{key}")
    for key, off in OFF.items():
        if result.get(key) == off:  # so that it is the same experiment as without it
            del result[key]
    if name == "mobilenetv2":
        alphas = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
        expect(
            result["alpha"] in alphas,
            f"models.{name}.alpha = {result['alpha']}: expected one of {', '.join(map(str, alphas))}",
        )
    return result


def _enqueue(points, models: dict) -> tuple[dict, ...]:
    expect(
        isinstance(points, list) and all(isinstance(p, dict) for p in points),
        f"search.enqueue = {show(points)}: expected a list of tables",
    )
    for i, point in enumerate(points):
        for key, value in point.items():
            where = f"search.enqueue[{i}].{key}"
            searched = {
                m: p[key] for m, p in models.items() if isinstance(p.get(key), (Choice, Range))
            }
            expect(
                bool(searched),
                f"{where}: no model searches '{key}'{nearest(key, {k for m in models.values() for k, v in m.items() if isinstance(v, (Choice, Range))})}",
            )
            for model, space in searched.items():
                expect(
                    _plain(value) and contains(space, value),
                    f"{where} = {show(value)}: not in what {model} searches, {show(to_json(space))}",
                )
    return tuple(points)


def _plain(value) -> bool:
    return isinstance(value, (bool, int, float, str))


def _reference(row, i: int, models: dict) -> dict:
    where = f"reference[{i}]"
    _table(row, where)
    known = ("name", "model", *REFERENCE)
    for key in row:
        expect(key in known, f"unknown key '{where}.{key}'{nearest(key, known)}")
    for key in ("name", "model"):
        expect(
            isinstance(row.get(key), str),
            f"{where}.{key} = {show(row.get(key))}: expected a string",
        )
    known = list(dict.fromkeys([*models, *MODELS]))
    expect(
        row["model"] in known,
        f"{where}.model = {show(row['model'])}: expected one of {', '.join(known)}",
    )
    return {
        k: Kind(float, None, low=0, high=1).check(v, f"{where}.{k}") if k in REFERENCE else v
        for k, v in row.items()
    }


def _judge(e: Experiment) -> Experiment:
    """Refuse what cannot work, and note what has no effect."""
    trials, pruner, notes = e.search["trials"], e.search["pruner"], []
    if pruner == "hyperband":
        expect(
            trials >= HYPERBAND_MIN_TRIALS,
            f'search.pruner = "hyperband" with search.trials = {trials}: its brackets need at least {HYPERBAND_MIN_TRIALS} trials; raise trials or take "median"',
        )
    for model in e.models:
        epochs = e.models[model]["epochs"]
        expect(
            pruner == "none" or e.search["min_epochs"] <= epochs,
            f"search.min_epochs = {e.search['min_epochs']} is more than models.{model}.epochs = {epochs}",
        )
        rate = e.models[model]["learning_rate"]
        fastest = (
            rate.high
            if isinstance(rate, Range)
            else max(rate.values)
            if isinstance(rate, Choice)
            else rate
        )
        if e.models[model].get("unfreeze") and fastest > TUNING_RATE:
            notes.append(
                f"{model}: unfreeze with learning rates up to {fastest:g}: above {TUNING_RATE:g} a pretrained base is easily destroyed"
            )
        if not e.space(model):
            notes.append(
                f"{model} searches nothing: its {trials} trials differ in their seeds only"
            )
    if e.search["sampler"] == "tpe" and trials <= TPE_STARTUP_TRIALS:
        notes.append(f"trials = {trials}: random search; TPE starts after {TPE_STARTUP_TRIALS}")
    if pruner == "median" and trials <= 5:
        notes.append(
            f'pruner = "median" has no effect: it starts after 5 trials, there are {trials}'
        )
    if len(e.enqueue) > trials:
        notes.append(
            f"enqueue has {len(e.enqueue)} points for {trials} trials: the last {len(e.enqueue) - trials} are not tried"
        )
    if e.features["shards"] > 1 and not e.tasks_of("features"):
        notes.append("features.shards has no effect: no model has a frozen base")
    return Experiment(
        **{f: getattr(e, f) for f in e.__dataclass_fields__ if f != "notes"}, notes=tuple(notes)
    )
