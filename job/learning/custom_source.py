"""Own models: where a user's factory is, what its source is, and the function itself. Without TensorFlow, unless theirs imports it.

Its source is its module's file and every module that it imports, directly or by others, from the same package or from
beside it, as far as `import` statements tell: the hash of them belongs to the experiment. Other packages do not count.
"""

import ast
import dataclasses
import difflib
import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from job.errors import Invalid
from job.experiment.experiment import Experiment
from job.sentences import first_line

INSTALLED = (
    "site-packages",
    "dist-packages",
)  # what stands beside a package there is no part of it
WHERE = (
    "it must be installed, in a folder that PYTHONPATH names, or in the folder `job` is called from"
)


def seal(experiment: Experiment) -> Experiment:
    """Return the experiment with the source hash of every own model in it. Raises: Invalid, also for a file that names another one."""
    models = dict(experiment.models)
    for model, parameters in experiment.factories().items():
        found = source(parameters["factory"])
        if parameters.get("source", found) != found:
            raise Invalid(
                f'models.{model}.source = "{parameters["source"]}": {_other(parameters["factory"], found)}'
            )
        models[model] = parameters | {"source": found}
    return dataclasses.replace(experiment, models=models)


def check(model: str, parameters: dict) -> None:
    """Raise `Invalid` unless the source found here is the one the experiment was prepared with."""
    found = source(parameters["factory"])
    if found != parameters["source"]:
        raise Invalid(
            f"model {model} was prepared with the source {parameters['source']}, but {_other(parameters['factory'], found)}: give this worker"
            " the files `job prepare` saw (image, shared folder, PYTHONPATH), or prepare the changed ones under a new name"
        )


def _other(factory: str, found: str) -> str:
    file = next(iter(_files(factory.partition(":")[0]).values()))
    return f"{file} and what it imports are {found} here"


def function(factory: str) -> Callable:
    """Import and return a factory's function. Raises: Invalid."""
    module, _, name = factory.partition(":")
    file = _find(module)[0]
    try:
        imported = importlib.import_module(module)
    except Exception as exc:
        raise Invalid(f'factory = "{factory}": importing {file} failed: {told(exc, file)}') from exc
    found = getattr(imported, name, None)
    if not callable(found):
        names = [
            n
            for n, v in vars(imported).items()
            if callable(v) and getattr(v, "__module__", "") == imported.__name__
        ]
        close = difflib.get_close_matches(name, names, n=1)
        raise Invalid(
            f'factory = "{factory}": {file} has no function {name}{f" (did you mean {close[0]}?)" if close else ""}; it defines'
            f" {', '.join(names) or 'none'}"
        )
    return found


def source(factory: str) -> str:
    """Return 16 hexadecimal digits of a sha256 over the names and bytes of a factory's source. Raises: Invalid."""
    digest = hashlib.sha256()
    for name, path in sorted(_files(factory.partition(":")[0]).items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def told(exc: Exception, file: Path) -> str:
    """Return an exception in one line, with the line of the user's file it came through."""
    trace, line = exc.__traceback__, None
    while trace:
        if os.path.realpath(trace.tb_frame.f_code.co_filename) == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{type(exc).__name__}: {first_line(exc)}" + (
        f" ({file.name}, line {line})" if line else ""
    )


def file_of(factory: str) -> Path:
    """Return the file a factory stands in. Raises: Invalid."""
    return _find(factory.partition(":")[0])[0]


def _files(module: str) -> dict[str, Path]:
    """Return a module's file, first, and those it imports from its own package or folder, by their place below the folder."""
    first, root = _find(module)
    names, found, left = module.split("."), {}, [(module, first)]
    beside = not any(part in INSTALLED for part in root.parts)
    while left:
        name, path = left.pop(0)
        place = path.relative_to(root).as_posix()
        if place in found:
            continue
        found[place] = path
        for wanted in _imports(path, name):
            top = wanted.split(".")[0]
            if top == names[0] or (beside and top != "job"):
                left += _below(root, wanted)
    return found


def _below(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield name and file of a module below a folder, and those of the packages it is in; nothing for other modules."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:n])
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                yield ".".join(parts[:n]), file


def _imports(path: Path, name: str) -> set[str]:
    """Return the full names of all that a module may import, wherever in the file. Raises: Invalid for what is no Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as exc:
        raise Invalid(f"{path} is not Python that can be read: {first_line(exc)}") from exc
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = {name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                [*package[: len(package) + 1 - node.level], *filter(None, [node.module])]
                if node.level
                else [node.module]
            )
            found |= {".".join([*base, a.name]) for a in node.names}
    return found


def _find(module: str) -> tuple[Path, Path]:
    """Return a module's file, and the folder its name begins in, without importing anything. Raises: Invalid."""
    if os.getcwd() not in sys.path:  # `python -m job` has it there, `job` has not
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    parts, path, spec = module.split("."), None, None
    for n in range(1, len(parts) + 1):
        name = ".".join(parts[:n])
        spec = next(filter(None, (finder.find_spec(name, path) for finder in sys.meta_path)), None)
        path = spec.submodule_search_locations if spec else None
        if spec is None or (path is None and n < len(parts)):
            missing = name if spec is None else f"package {name}"
            raise Invalid(f'factory = "{module}:...": there is no module {missing}: {WHERE}')
    if not spec.origin or not spec.origin.endswith(".py"):
        raise Invalid(
            f'factory = "{module}:...": {module} is no Python file ({spec.origin or "a folder"}); expected package.module:function'
        )
    file = Path(spec.origin).resolve()
    return file, file.parents[len(parts) - (0 if file.name == "__init__.py" else 1)]
