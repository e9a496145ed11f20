"""A server of the S3 protocol on loopback, for the tests of what is kept in a bucket.

A test module says `pytest_plugins = ["tests.s3"]` and asks for `bucket`; another process is given `s3.environment`.
"""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from include.common.storage import Place, place

_numbers = itertools.count(1)


@dataclass(frozen=True)
class S3:
    """Where the server is, and the environment in which a process finds it."""

    address: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "headrace",
            "AWS_SECRET_ACCESS_KEY": "headrace-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @staticmethod
    def put(where: Place, content: bytes) -> None:
        """Make an object without the protocol, for a test that needs thousands."""
        bucket, _, key = where.path.partition("/")
        _backend().put_object(bucket, key, content)

    @staticmethod
    def date(where: Place, second: int) -> None:
        """Make an object as old as if it had been written in that second of 2026."""
        bucket, _, key = where.path.partition("/")
        _backend().buckets[bucket].keys[key].last_modified = datetime(2026, 1, 1) + timedelta(seconds=second)

    def make_bucket(self) -> str:
        """The name of a new and empty bucket."""
        name = f"headrace-{next(_numbers)}"
        fsspec.filesystem("s3").mkdir(name)
        return name


def _backend() -> Any:
    """What the server, which runs in this process, keeps."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """The server, found in the environment by everything that speaks S3, until the session's end."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = S3(f"http://{host}:{port}")
    filesystem = fsspec.get_filesystem_class("s3")
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        for name, value in found.environment.items():
            environment.setenv(name, value)
        filesystem.clear_instance_cache()
        yield found
        filesystem.clear_instance_cache()  # else the next one to ask gets a connection to a server that is gone
    server.stop()


@pytest.fixture
def bucket(s3: S3) -> Place:
    """A place in a new bucket, as the settings would name it."""
    return place(f"s3://{s3.make_bucket()}/tests", Path("/"), "storage")
