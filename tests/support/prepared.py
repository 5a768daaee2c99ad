"""Experiments in the state that `job prepare` leaves, prepared once and then copied."""

import json
import re

import boto3
from botocore.config import Config

from job.coordination.database import Database
from job.experiment.specification import parse
from job.work.prepare import register
from tests.support.databases import copy_database, create_database, drop_database
from tests.support.experiments import write_images
from tests.support.site import Site, new_site
from tests.support.staged import STAGED


class RegisteredOnce:
    """Register each specification once per test session, without data, and copy its database."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.originals: dict[str, str] = {}

    def __call__(self, url: str, spec: dict) -> None:
        """Replace an empty database by one that has our tables and this experiment."""
        key = json.dumps(spec)
        if key not in self.originals:
            original = create_database(self.postgres.url)
            database = Database(original)
            database.create_schema()
            register(database, parse(spec), STAGED)
            self.originals[key] = original
        copy_database(url, self.originals[key])

    def drop(self) -> None:
        """Drop the databases of the originals."""
        for url in self.originals.values():
            drop_database(url)


class PreparedOnce:
    """Prepare each experiment once per test session, at a site of its own, and copy it to others.

    A copy has the rows and the objects of the original, its id among them, in a database and below
    a prefix of its own.
    """

    def __init__(self, postgres, s3, folders):
        self.postgres = postgres
        self.s3 = s3
        self.folders = folders
        self.originals: dict[tuple[str, ...], Site] = {}
        # The bits of an undisturbed trial of the long experiment, by its index and kind of net.
        self.calm_bits: dict[tuple[int, bool], dict] = {}
        self.client = boto3.client(
            "s3",
            endpoint_url=s3.endpoint,
            aws_access_key_id=s3.access_key,
            aws_secret_access_key=s3.secret_key,
            region_name="us-east-1",
            config=Config(proxies={}),
        )

    def __call__(self, site: Site, text: str, *arguments) -> None:
        """Bring a site to the state after `job prepare FILE ARGUMENTS`."""
        name = re.search(r'^name = "(\w+)"', text, re.M)[1]
        key = (text, *map(str, arguments))
        if key not in self.originals:
            self.originals[key] = self._prepare(name, text, arguments)
        original = self.originals[key]
        (site.folder / f"{name}.toml").write_text(text)
        site.environ["JOB_EXPERIMENT"] = name
        copy_database(site.database_url, original.database_url)
        self._copy_objects(_prefix(original), _prefix(site))

    def _prepare(self, name: str, text: str, arguments: tuple) -> Site:
        folder = self.folders.mktemp(name)
        site = new_site(create_database(self.postgres.url), self.s3, folder)
        write_images(folder / "images.npz")
        (folder / f"{name}.toml").write_text(text)
        site.job("prepare", f"{name}.toml", *arguments, check=0)
        return site

    def _copy_objects(self, source: str, target: str) -> None:
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.s3.bucket, Prefix=f"{source}/"):
            for found in page["Contents"]:
                self.client.copy_object(
                    Bucket=self.s3.bucket,
                    Key=target + found["Key"].removeprefix(source),
                    CopySource={"Bucket": self.s3.bucket, "Key": found["Key"]},
                )

    def drop(self) -> None:
        """Drop the databases of the originals."""
        for site in self.originals.values():
            drop_database(site.database_url)


def _prefix(site: Site) -> str:
    return site.store_url.removeprefix("s3://").partition("/")[2]
