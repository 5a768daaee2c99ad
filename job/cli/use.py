"""The commands that use a trained model: predict and export."""

from pathlib import Path

import click

from job.cli.options import PLACES, database_of, end, say, store_of, tell, where
from job.errors import Impossible, NotReady, UsageError

FORMS, FORMATS = ("table", "json", "csv"), ("keras", "saved_model")


def _registered(settings):
    from job.coordination.tasks import find
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
    help="how to print the answers",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="K",
    help="the K most probable classes of each image",
)
@click.option(
    "--factory",
    metavar="M:F",
    help="of an exported .keras model of your own: the factory whose module has its layers; its code is run",
)
@click.option(
    "--trust",
    is_flag=True,
    help="run an exported SavedModel: it is a program, which reads and writes files as you",
)
@where(*PLACES, local=True)
def predict(settings, model, paths, form, top, factory, trust):
    """Classify images, files or whole folders, with a trained model.

    MODEL is a folder that `job export` wrote, which needs no database, or the name of a model of the experiment whose final is complete. Images are
    decoded and resized as the training images were. One that cannot be read is named, and the others go on: exit 1 at the end.
    A folder from elsewhere runs no code: a SavedModel is refused without --trust, layers of its own without --factory.

    Example: job predict exported/ photos/ --top 3 --format csv
    """
    from job.export import predict as view
    from job.export import trained

    found = view.images(paths)
    if trained.is_export(Path(model)):
        net = trained.of_folder(Path(model), factory, trust)
    elif Path(model).exists() or "/" in model:
        raise UsageError(
            f"MODEL {model!r} is no folder that `job export` wrote: expected one, or the name of a model of the experiment"
        )
    elif not settings.database_url:
        raise UsageError(
            f"MODEL {model!r} is no folder that `job export` wrote, and no database is named whose experiment could have such a model:"
            " give such a folder, or JOB_DATABASE_URL, or --local DIR after `job local`"
        )
    else:
        database, registered, cache = _registered(settings)
        net = trained.of_experiment(
            cache, registered, model, trained.published(database, registered, model)
        )
    refused = view.write(
        view.answers(net, found, min(top, len(net.classes))), form, min(top, len(net.classes))
    )
    for answer in refused:
        say(f"job: {answer.reason}", err=True)
    if refused:
        say(f"job: {len(refused)} of {len(found)} images could not be read", err=True)
        end(1)


@click.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="the folder to make; not there yet, or empty",
)
@click.option("--model", metavar="M", help="which model; default: the winner")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="keras",
    show_default=True,
    help="what loads it: Keras or TensorFlow",
)
@where(*PLACES, local=True)
def export(settings, out, model, form):
    """Write a trained model as a folder: labels and preprocessing inside, a model card beside it.

    It takes pixels as they are (uint8, 0..255), and is compared with the stored model before the folder appears. It is the final of seed 0.

    Example: job export --experiment quick --model mobilenetv2 --out exported/
    """
    name, experiment = _exported(settings, out, model, form)
    tell(f"{out}: {name} of {experiment}, {form}")


def _exported(settings, out: Path, model: str | None, form: str) -> tuple[str, str]:
    """Write the folder; return the names of the model, by default the winner's, and of its experiment."""
    from job.export.export import export
    from job.export.trained import published
    from job.report.collect import collect
    from job.report.gaps import no_winner_ever
    from job.report.summary import summarise

    database, registered, cache = _registered(settings)
    if model:
        published(database, registered, model)  # before everything is read
    collected = collect(database, cache.store, registered)
    summary = summarise(collected)
    name = model or summary["winner"]
    if name is None and (why := no_winner_ever(collected)):
        raise Impossible(
            f"there will be no winner: {why}; `job retry` gives a failed task another life"
        )
    if name is None:
        raise NotReady(
            "there is no winner yet, not every model has all its folds: wait (`job status`), or name one by --model"
        )
    export(
        cache,
        collected,
        summary,
        name,
        published(database, registered, name)["artifact"],
        form,
        out,
    )
    return name, registered.experiment.name


COMMANDS = (predict, export)
