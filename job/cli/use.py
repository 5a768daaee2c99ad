"""The commands that use a trained model: predict and export."""

import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from job.cli.options import PLACES, announce, database_of, end, say, store_of, where
from job.cli.quiet import without_tensorflow_notes
from job.errors import Impossible, NotReady, UsageError
from job.files import open_whole

if TYPE_CHECKING:
    from job.coordination.database import Database
    from job.coordination.registered import Registered
    from job.export.trained import Trained
    from job.report.collect import Collected
    from job.storage.cache import Cache

FORMS = ("table", "csv", "json", "jsonl")
FORMATS = ("keras", "saved_model")


def _open(settings) -> "tuple[Database, Registered, Cache]":
    """Return the database, the experiment in it, and the cache of its store."""
    from job.coordination.registered import find
    from job.storage.cache import Cache

    database = database_of(settings)
    registered = find(database, settings.need("experiment"))
    store = store_of(settings)
    return database, registered, Cache(store, settings.cache_dir, settings.cache_gb)


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument(
    "paths",
    metavar="IMAGE...",
    nargs=-1,
    required=True,
    type=click.Path(readable=False, path_type=Path),
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="table",
    show_default=True,
    help="how to write the answers; `jsonl` is JSON, a line per image",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="write the answers to this file instead of the screen; it appears when all are there",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="K",
    help="print the K most probable classes of each image",
)
@click.option(
    "--factory",
    metavar="M:F",
    help="for an exported .keras file of a custom model: the factory whose module defines its"
    " layers; this runs the module's code",
)
@click.option(
    "--trust",
    is_flag=True,
    help="run an exported SavedModel, a program that can read and write all your files",
)
@where(*PLACES, or_local=True)
@without_tensorflow_notes()
def predict(settings, model, paths, form, out, top, factory, trust):
    """Classify images with a trained model.

    MODEL is a folder that `job export` wrote, which needs no database, or the name of a model of
    the experiment whose final is complete. IMAGE is a file or a folder; folders are searched at
    any depth.

    Images are decoded and resized like the training images. An image that cannot be read is
    reported, the others are still classified, and the exit code is 1.

    An exported folder runs no code unless you allow it: --trust for a SavedModel, --factory for
    a model with layers of its own.

    Example: job predict exported/ photos/ --top 3 --format csv
    """
    from job.data.progress import progress
    from job.export import predict as prediction

    images = prediction.images(paths)
    net = _load(settings, model, factory, trust)
    top = min(top, len(net.classes))
    is_apart = out is not None or not sys.stdout.isatty()  # else the answers show how far it is
    with (
        progress("classifying", len(images), shown=is_apart) as advance,
        destination(out) as file,
    ):
        answers = prediction.answers(net, images, top, advance)
        refused = prediction.write(answers, form, top, file)
    for answer in refused:
        say(f"job: {answer.reason}", err=True)
    if refused:
        say(f"job: {len(refused)} of {len(images)} images could not be read", err=True)
        end(1)


@contextmanager
def destination(out: Path | None) -> Generator[TextIO]:
    """Yield where the answers go: the screen, or a file that is there whole or not at all."""
    if out is None:
        yield sys.stdout
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_whole(out))
        except OSError as exc:
            raise UsageError(
                f"--out {out} cannot be written ({exc.strerror or exc}): name a file in a folder"
                " that exists, and may be written to"
            ) from exc
        text = TextIOWrapper(file, "utf-8", newline="")
        yield text
        text.detach()


def _load(settings, model: str, factory: str | None, trust: bool) -> "Trained":
    """Return the model in an exported folder, else the one of this name in the experiment."""
    from job.export import trained

    if trained.is_export(Path(model)):
        return trained.from_folder(Path(model), factory, trust)
    if Path(model).exists() or "/" in model:
        raise UsageError(
            f"MODEL {model!r} is not a folder that `job export` wrote:"
            " expected one, or the name of a model of the experiment"
        )
    if not settings.database_url:
        raise UsageError(
            f"MODEL {model!r} is not a folder that `job export` wrote,"
            " and without a database it cannot be a model of an experiment:"
            " give such a folder, or JOB_DATABASE_URL, or --local DIR after `job local`"
        )
    database, registered, cache = _open(settings)
    row = trained.published_final(database, registered, model)
    return trained.from_experiment(cache, registered, model, row)


@click.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="folder to write; it must be missing or empty",
)
@click.option("--model", metavar="M", help="which model; default: the winner")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="keras",
    show_default=True,
    help="what loads the model: Keras or TensorFlow",
)
@where(*PLACES, or_local=True)
@without_tensorflow_notes()
def export(settings, out, model, form):
    """Write a trained model to a folder, with labels, preprocessing and a model card.

    The exported model takes pixels as they are (uint8, 0..255). Its predictions are compared with
    those of the stored model before the folder appears. It is the final of seed 0.

    Example: job export --experiment quick --model mobilenetv2 --out exported/
    """
    name, experiment = _write_export(settings, out, model, form)
    announce(f"{out}: {name} of {experiment}, {form}")


def _write_export(settings, out: Path, model: str | None, form: str) -> tuple[str, str]:
    """Write the folder; return the names of the model (default: the winner) and its experiment."""
    from job.export.export import export as write
    from job.export.trained import published_final
    from job.report.collect import collect
    from job.report.summary import summarize

    database, registered, cache = _open(settings)
    if model:
        # An early refusal: what follows reads the whole experiment.
        published_final(database, registered, model)
    collected = collect(database, cache.store, registered, cache)
    summary = summarize(collected)
    name = model or summary["winner"]
    if name is None:
        raise _no_winner(collected)
    artifact = published_final(database, registered, name)["artifact"]
    write(cache, collected, summary, name, artifact, form, out)
    return name, registered.experiment.name


def _no_winner(collected: "Collected") -> Impossible | NotReady:
    """Return the error for an experiment without a winner."""
    from job.report.gaps import no_winner_reason

    if why := no_winner_reason(collected):
        return Impossible(
            f"there will be no winner: {why}; `job retry` gives a failed task another chance"
        )
    return NotReady(
        "there is no winner yet, because not every model has all its folds:"
        " wait (`job status`), or name a model with --model"
    )


COMMANDS = (predict, export)
