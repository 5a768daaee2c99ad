"""README and docs agree with the code, and every link and path in them resolves."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from job.cli.cli import GROUPS, job

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES = [*TOP, *sorted(DOCS.rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
REFERENCE = DOCS / "reference"
BLOCKS = re.compile(r"<!-- (\w+): generated -->")
# Paths in backticks that are not files of the repository: files that a run or a user makes, keys of
# the store, and names with a slash.
ELSEWHERE = {
    "out/",
    "exported/",
    "photos/",
    "report/",
    "val/",
    "train/cat/1.png",
    "animals/cat",
    "valid/",
    "validation/",
    "dev/",
    "image/class/text",
    "image/class/label",
    "image/encoded",
    "a/0001.jpg",
    "a/0001.cls",
    "a/0001.json",
    "3-0a1b2c3d/",
    ".venv/bin/job",
    "experiment/model",
    "out/report/index.html",
    "out/services/database-url",
    "OUT/bench.json",
    "OUT/bench-scale.json",
    "OUT/search.json",
    "kueue.x-k8s.io/queue-name",
    "k8s/overlays/second/kustomization.yaml",
}


def prose(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    unique = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.M):
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        assert anchor not in unique, f"{page.name}: two headings make the anchor #{anchor}"
        unique.add(anchor)
    return unique


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and images."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", text)


def test_the_reference_is_the_code_s():
    """Each table that the code knows is in the docs as `make docs` writes it."""
    command = [sys.executable, DOCS / "generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [page.read_text() for page in REFERENCE.glob("*.md")]
    generated = sorted(name for text in pages for name in BLOCKS.findall(text))
    tables = ["augment", "codes", "commands", "models", "sections", "settings", "tables"]
    assert generated == sorted([*tables, "report", "result"])


def test_every_folder_is_named():
    """The page on architecture names each folder of the package."""
    text = (DOCS / "explanation" / "architecture.md").read_text()
    folders = {p.name for p in (ROOT / "job").rglob("*") if p.is_dir() and p.name != "__pycache__"}
    assert [name for name in sorted(folders) if not re.search(rf"\b{name}/", text)] == []


def test_commands_exist():
    """Every `job` command that a page names exists, and the help of each has an example."""
    texts = [page.read_text() for page in PAGES]
    command_name = re.compile(r"(?:`|\$ |/|^)job ([a-z]+)", re.M)
    named = {name for text in texts for name in command_name.findall(text)}
    assert named <= set(job.commands)
    for name, command in job.commands.items():
        assert "Example: job " in (command.help or ""), name
        assert CliRunner().invoke(job, [name, "--help"]).exit_code == 0


def test_every_command_is_in_the_help():
    """`job --help` lists each command once, in a group, with a complete sentence."""
    grouped = [name for names in GROUPS.values() for name in names if name in job.commands]
    assert sorted(grouped) == sorted(job.commands)
    text = CliRunner().invoke(job, ["--help"], terminal_width=110).output
    for name in job.commands:
        assert re.search(rf"^  {name} +[A-Z].*\.$", text, re.M), name


def test_the_readme_is_short():
    """The README has at most 200 lines and 2,000 words, and two commands before line 25."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    assert len(text.split()) <= 2000
    head = text.splitlines()[:24]
    assert any(line.startswith("$ make local ") for line in head)
    assert "$ make test" in head


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_resolves(page):
    """Every relative link and image leads to a file, and every anchor to a heading in it."""
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_index_is_complete():
    """docs/index.md links to every page below docs/, once."""
    inside = [link for link in links(DOCS / "index.md") if not link.startswith("..")]
    linked = [(DOCS / link.partition("#")[0]).resolve() for link in inside]
    assert linked.count(DOCS / "tutorial.md") == 1
    assert sorted(linked) == sorted(p for p in DOCS.rglob("*.md") if p.name != "index.md")


def test_every_picture_is_shown():
    """Each picture below docs/ is on some page."""
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    pictures = {path for path in shown if path.suffix == ".png"}
    assert pictures == set(DOCS.rglob("*.png"))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_path_exists(page):
    """Every repository path that a page names exists, and every pattern matches something."""
    text = page.read_text()
    quoted = re.findall(r"`([\w.*-]+(?:/[\w.*-]+)*/?)(?:::\w+)?`", prose(page))
    paths = {path for path in quoted if "/" in path}
    folders = r"(?:\.ci|bench|docs|examples|k8s|slurm|tests)"
    paths |= set(re.findall(rf"(?<![\w./(<-]){folders}/[\w./*-]*[\w/*]", text))
    assert {path for path in paths - ELSEWHERE if not any(ROOT.glob(path))} == set()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-gpu.lock"])
def test_locks_share_their_pins(lock):
    """A package in two locks has one version, and no lock names an index."""
    pins = {
        name: dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.M))
        for name in (lock, "requirements-dev.lock")
    }
    shared = pins[lock].keys() & pins["requirements-dev.lock"].keys()
    assert len(shared) > 30
    assert {n for n in shared if pins[lock][n] != pins["requirements-dev.lock"][n]} == set()
    assert "http" not in (ROOT / lock).read_text()


def test_there_is_one_version():
    """The package's version is the distribution's."""
    from job import __version__

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
