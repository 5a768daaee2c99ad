"""What was understood of the data, before anything runs: `job prepare --describe`. Reads what `prepare` would, writes nothing."""

from pathlib import Path

import numpy as np

from job.data import sources, staging
from job.data.dataset import Part
from job.experiment.experiment import Experiment
from job.text import printable

SHOWN_CLASSES = 20
SHOWN_SIZES = 5
UNBALANCED = 3  # times the images of the smallest class: more is worth a word


def describe(experiment: Experiment, location: str | None, cache_dir: Path) -> dict:
    """Return counts, sizes, splits and duplicates as `prepare` would make them, for `--json`.

    Raises: as `sources.read`, `data.cut` and `data.make_splits`.
    """
    source = sources.read(
        experiment.data["source"],
        experiment.data["image_size"],
        location,
        cache_dir,
        experiment.data["groups"],
    )
    train, test = staging.cut(source, experiment)
    related = staging.relate(train, test)
    made = staging.make_splits(experiment, source.classes, train.labels, related.train, test.labels)
    k = len(source.classes)
    counts = {
        name: np.bincount(part.labels, minlength=k).tolist()
        for name, part in (("train", train), ("test", test))
    }
    return {
        "experiment": experiment.name,
        "source": source.name,
        "classes": [
            {"class": c, "train": a, "test": b}
            for c, a, b in zip(source.classes, counts["train"], counts["test"], strict=True)
        ],
        "found": {
            "train": len(source.train.labels),
            "test": len(source.test.labels) if source.test else None,
        },
        "train": len(train.labels),
        "validation": int(made.validation.sum()),
        "folds": np.bincount(made.folds, minlength=experiment.folds["count"]).tolist(),
        "test": len(test.labels),
        "sizes": [
            {"width": w, "height": h, "images": n}
            for (w, h), n in sorted(source.sizes.items(), key=lambda s: (-s[1], s[0]))
        ],
        "image_shape": list(train.images.shape[1:]),
        "duplicates": {"train": related.repeated, "train_test": int(related.copies.sum())},
        "conflicts": _conflicts(related.equal, train.labels),
        "groups": _groups(train, test),
        "bytes": int(train.images.nbytes + test.images.nbytes),
        "notes": [*experiment.notes, *source.notes, *unbalanced(counts["train"], experiment)],
    }


def _conflicts(groups: np.ndarray, labels: np.ndarray) -> int:
    """Return how many images of the training part stand there under more than one class."""
    pairs = np.unique(np.stack([groups, labels]), axis=1)[0]
    several = np.unique(pairs)[np.unique(pairs, return_counts=True)[1] > 1]
    return int(np.isin(groups, several).sum())


def _groups(train: Part, test: Part) -> dict | None:
    """Return how many groups each part has, and the images of the largest."""
    if train.groups is None:
        return None
    sizes = [np.unique(part.groups, return_counts=True)[1] for part in (train, test)]
    return {
        "train": len(sizes[0]),
        "test": len(sizes[1]),
        "largest": int(np.concatenate(sizes).max()),
    }


def unbalanced(counts: list[int], experiment: Experiment) -> list[str]:
    """Return what is to be said when some classes have many more training images than others, and accuracy is the metric."""
    if experiment.search["metric"] != "accuracy" or max(counts) <= UNBALANCED * min(counts):
        return []
    return [
        f'classes have {min(counts):,} to {max(counts):,} training images, and search.metric = "accuracy" counts the large ones most:'
        ' "balanced_accuracy" counts each class the same, and class_weights = "balanced" lets each weigh the same in training'
    ]


def lines(found: dict) -> list[str]:
    """Return the description for a person."""
    test = "shipped" if found["found"]["test"] is not None else "held out, as none is shipped"
    said = [
        f"{found['experiment']}: {found['source']}",
        f"found        {found['found']['train']:,} training and {found['found']['test'] or 0:,} test images of {len(found['classes']):,} classes",
        f"training     {found['train']:,} images, {found['validation']:,} of them to compare trials on; {_folds(found['folds'])}",
        f"test         {found['test']:,} images, {test}",
        f"sizes        {_sizes(found['sizes'])}; staged as {found['image_shape'][1]} x {found['image_shape'][0]} (width x height)",
        f"duplicates   {found['duplicates']['train']:,} within the training part; {found['duplicates']['train_test']:,} test images stand in it, too",
        f"staged       {found['bytes'] / 1e6:,.1f} MB of pixels, which prepare holds in memory twice",
        *_classes(found["classes"]),
    ]
    if groups := found["groups"]:
        said.insert(
            6,
            f"groups       {groups['train']:,} in the training part, {groups['test']:,} in the test part, none in both; the largest has {groups['largest']:,} images",
        )
    if found["conflicts"]:
        said.append(
            f"note: {found['conflicts']:,} training images stand there under more than one class"
        )
    return said + [f"note: {note}" for note in found["notes"]]


def _folds(sizes: list[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{len(sizes)} folds of {low:,}" + (f" to {high:,}" if high > low else "")


def _sizes(sizes: list[dict]) -> str:
    shown = ", ".join(
        f"{s['width']} x {s['height']} ({s['images']:,})" for s in sizes[:SHOWN_SIZES]
    )
    return shown + (f" and {len(sizes) - SHOWN_SIZES:,} more" if len(sizes) > SHOWN_SIZES else "")


def _classes(classes: list[dict]) -> list[str]:
    """Return a line a class; of many, those with the fewest and the most training images."""
    by_size = sorted(classes, key=lambda c: c["train"])
    half = SHOWN_CLASSES // 2
    shown = classes if len(classes) <= SHOWN_CLASSES else [*by_size[:half], *by_size[-half:]]
    width = max(len("class"), *(len(printable(c["class"])) for c in shown))
    table = [
        f"{'class':{width}} {'training':>10} {'test':>10}",
        *(f"{printable(c['class']):{width}} {c['train']:>10,} {c['test']:>10,}" for c in shown),
    ]
    return table + (
        [f"... and {len(classes) - SHOWN_CLASSES:,} classes between these"]
        if len(classes) > SHOWN_CLASSES
        else []
    )
