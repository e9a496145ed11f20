"""The page of the parser tasks in Airflow: its settings, the application database, and Kafka."""

from collections.abc import Callable, Sequence

import sqlalchemy
from fastapi import FastAPI

from include.common.database import connect
from include.orchestration import environment
from include.orchestration.parser_tasks.settings import settings
from include.parser_tasks import api
from include.parser_tasks.broker import Producer
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.service import Service
from include.web.guard import Access
from include.web.pages import Tab


def build_app(tab: Tab, tabs: tuple[Tab, ...], access: Access, _dag_ids: Callable[[], Sequence[str]]) -> FastAPI:
    """The application that `systems.py` names."""
    service = Service(_engine, settings, Producer, Admin)
    return api.build_app(tab, tabs, access, service, lambda user: str(user.get_name()))


def _engine() -> sqlalchemy.Engine:
    return connect(environment.database_url())
