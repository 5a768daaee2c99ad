"""`data.labels`: labels from a CSV or JSON lines, as Kaggle, Hugging Face and spreadsheets have."""

import json

import numpy as np
import pytest

from job.data import parts
from job.experiment.specification import parse
from tests.support.datasets import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    data_id,
    encoded,
    read_source,
    refused,
    write_folder,
    write_zip,
)

IMAGES = {"1.png": RED, "2.png": GREEN, "3.png": BLUE, "4.png": WHITE}
LABELS = {"1.png": "cat", "2.png": "cat", "3.png": "dog", "4.png": "dog"}
TEST = ("2.png", "4.png")


def flat(**tables: str) -> dict[str, bytes]:
    """Return the files of a folder of images and its tables."""
    files = {f"images/{name}": encoded(color) for name, color in IMAGES.items()}
    return files | {name: content.encode() for name, content in tables.items()}


def table(form: str) -> tuple[str, dict[str, bytes]]:
    """Return the name of a table and the files of one data set, labeled in this form."""
    rows = [(name, label, "test" if name in TEST else "train") for name, label in LABELS.items()]
    if form == "csv":
        lines = [f"images/{name},{label},{split}" for name, label, split in rows]
        return "labels.csv", flat(**{"labels.csv": "\n".join(["file,label,split", *lines])})
    if form == "kaggle":  # no suffix, another order of columns, one more of them
        lines = [f"{label},7,{name[0]},{split.upper()}" for name, label, split in rows]
        head = "breed,width,image_id,Split"
        return "train.csv", flat(**{"train.csv": "\n".join([head, *reversed(lines)])})
    if form == "spreadsheet":  # a byte-order mark, semicolons, quotes, Windows' line ends
        lines = [f'"{name}";"{label}";{split}' for name, label, split in rows]
        text = "\r\n".join(["\ufeffFile;Class;Set", *lines, ""])
        return "labels.csv", flat(**{"labels.csv": text})
    if form == "jsonl":
        lines = [json.dumps({"path": n, "label": label, "split": s}) for n, label, s in rows]
        return "labels.jsonl", flat(**{"labels.jsonl": "\n".join(lines)})
    # Hugging Face: a table beside the images of each split.
    files = {}
    for split in ("train", "test"):
        own = [(name, label) for name, label, part in rows if part == split]
        lines = [json.dumps({"file_name": name, "label": label}) for name, label in own]
        files[f"{split}/metadata.jsonl"] = "\n".join(lines).encode()
        files |= {f"{split}/{name}": encoded(IMAGES[name]) for name, _ in own}
    return "metadata.jsonl", files


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["csv", "kaggle", "spreadsheet", "jsonl", "hugging face"])
def test_all_forms_are_one_data_set(tmp_path, form, packed):
    """However a data set is labeled, classes, pixels and labels are the same: so is its id."""
    folders = {
        f"{'test' if name in TEST else 'train'}/{label}/{name}": encoded(IMAGES[name])
        for name, label in LABELS.items()
    }
    plain = read_source(write_folder(tmp_path / "plain", folders))
    labels, files = table(form)
    path = write_zip(tmp_path / "a.zip", files) if packed else write_folder(tmp_path / "a", files)
    read = read_source(path, labels=labels)
    assert read.classes == ("cat", "dog")
    assert read.notes == ()
    assert data_id(read, read.train, read.test) == data_id(plain, plain.train, plain.test)


def test_a_table_beside_the_data(tmp_path):
    """A table need not be in the data; rows and images without the other are told apart."""
    path = write_folder(tmp_path / "a", flat())
    (tmp_path / "mine.csv").write_text("image,target\n1,0\n3,10\n3,10\n4,2\n")
    read = read_source(path, labels=str(tmp_path / "mine.csv"))
    assert read.classes == ("0", "10", "2")
    twice, unlabeled = read.notes
    assert "1 rows of" in twice
    assert "1 images have no row in" in unlabeled
    assert unlabeled.endswith(": images/2.png")


def test_groups_of_a_table(tmp_path):
    """A column of groups keeps images together, without `data.groups`."""
    rows = "file,label,patient\n1,cat,a\n2,cat,b\n3,dog,a\n4,dog,c\n"
    read = read_source(write_folder(tmp_path / "a", flat(**{"l.csv": rows})), labels="l.csv")
    assert read.train.groups.tolist() == [0, 1, 0, 2]


def test_groups_of_a_table_decide_the_splits(tmp_path):
    """Patients with images of several classes are split as by `data.groups`."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 300)
    files = {f"{i}.png": encoded(rng.integers(0, 256, (4, 4, 3), np.uint8)) for i in range(300)}
    rows = [f"{i},{'abc'[k]},{i % 25}" for i, k in enumerate(classes)]
    files["l.csv"] = "\n".join(["file,label,patient", *rows]).encode()
    read = read_source(write_folder(tmp_path / "a", files), labels="l.csv")
    tree = {"name": "x", "data": {"source": "x"}, "models": {"cnn": {}}, "folds": {"count": 3}}
    experiment = parse(tree)
    train, test = parts.cut(read, experiment)
    related = parts.relate(train, test)
    made = parts.make_splits(experiment, read.classes, train, related.train)
    for fold in range(3):
        assert np.bincount(train.labels[made.folds == fold], minlength=3).min() > 15


def test_lines_end_where_json_says(tmp_path):
    """A separator of Unicode within a text ends no line."""
    lines = [json.dumps({"file": n, "label": t}, ensure_ascii=False) for n, t in LABELS.items()]
    lines[0] = lines[0].replace("}", ', "text": "a\u2028b\x85c"}')
    path = write_folder(tmp_path / "a", flat(**{"l.jsonl": "\r\n".join(lines)}))
    assert read_source(path, labels="l.jsonl").train.labels.tolist() == [0, 0, 1, 1]


def test_a_table_of_a_split_names_its_own_images(tmp_path):
    """An image that is missing beside its table is not looked for in the other part."""
    _, files = table("hugging face")
    files["train/metadata.jsonl"] += b'\n{"file_name": "2.png", "label": "cat"}'
    message = refused(write_folder(tmp_path / "a", files), labels="metadata.jsonl")
    assert "line 3 of train/metadata.jsonl names '2.png', and no image" in message


def test_validation_rows_end_the_training_part(tmp_path):
    """Rows of a validation part are flagged."""
    rows = "file,label,split\n1,cat,train\n2,cat,valid\n3,dog,train\n4,dog,train\n"
    read = read_source(write_folder(tmp_path / "a", flat(**{"l.csv": rows})), labels="l.csv")
    assert read.train.labels.tolist() == [0, 1, 1, 0]
    assert read.train.validation.tolist() == [False, False, False, True]


WRONG = {
    "no such file": (None, "there is no such file in the data"),
    "empty": ("", "l.csv has no column of files, it has"),
    "no row": ("file,label\n", "l.csv has no row: expected a CSV"),
    "no label column": ("file,width\n1,2\n", "l.csv has no column of labels, it has"),
    "no label": ("file,label\n1,cat\n2,\n", "line 3 of l.csv has no label"),
    "short row": ("file,label\n1,cat\n2\n", "line 3 of l.csv has no label"),
    "no image": ("file,label\n1,cat\n9,dog\n", "line 3 of l.csv names '9', and no image"),
    "two labels": (
        "file,label\n1,cat\n2,dog\n1.png,dog\n",
        "'images/1.png' has two labels, 'cat' (line 2 of l.csv) and 'dog' (line 4 of l.csv)",
    ),
    "two splits": (
        "file,label,split\n1,cat,train\n2,dog,train\n1.png,cat,test\n",
        "'images/1.png' has two splits, 'train' (line 2 of l.csv) and 'test' (line 4 of l.csv)",
    ),
    "two groups": ("file,label,group\n1,cat,a\n1,cat,b\n", "'images/1.png' has two groups"),
    "unknown split": ("file,label,split\n1,cat,fold1\n", "line 2 of l.csv has the split 'fold1'"),
    "no train": ("file,label,split\n1,cat,test\n", "l.csv has no row of the training part"),
    "class only in test": (
        "file,label,split\n1,cat,train\n2,dog,train\n3,cow,test\n",
        "has cow in the test part but not in the training part",
    ),
    "one class": ("file,label\n1,cat\n2,cat\n", "only 1 class"),
    "half the groups": ("file,label,group\n1,cat,a\n2,dog,\n", "line 3 of l.csv has no group"),
    "not JSON": ('{"file": "1", "label": "cat"}\n{"file"', "line 2 of l.csv is not JSON"),
    "no object": ('{"file": "1", "label": "cat"}\n[1]', "line 2 of l.csv is [1]"),
    "float": ('{"file": "1", "label": 0.5}', "line 1 of l.csv has 0.5: expected text"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_refused(tmp_path, case):
    """One sentence gives the line, the value and what is expected."""
    content, words = WRONG[case]
    files = flat() if content is None else flat(**{"l.csv": content})
    assert words in refused(write_folder(tmp_path / "a", files), labels="l.csv")


def test_a_name_of_several_images_is_refused(tmp_path):
    """A name without its folder must be that of one image."""
    files = flat(**{"l.csv": "file,label\n1,cat\n3,dog\n"}) | {"more/1.png": encoded(WHITE)}
    message = refused(write_folder(tmp_path / "a", files), labels="l.csv")
    assert "line 2 of l.csv names '1', and images/1.png, more/1.png are called so" in message


def test_data_with_labels_of_its_own_takes_no_table():
    """A key that would be ignored is refused."""
    assert "digits has labels of its own; remove the key" in refused("digits", labels="l.csv")
