"""Airflow's own database, read: for the api-server, the only process whose code may."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, TimeoutError

from include.common.errors import TransientError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@contextmanager
def reading(session: "Session | None" = None) -> Iterator["Session"]:
    """A session to read with, or the one given; `TransientError` where the database cannot be read."""
    from airflow.utils.session import create_session

    try:
        if session:
            yield session
        else:
            with create_session(scoped=False) as opened:
                yield opened
    except (DBAPIError, TimeoutError) as error:
        raise TransientError("Airflow's database cannot be read just now; this page asks again by itself") from error
