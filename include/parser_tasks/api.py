"""The parser tasks inside Airflow: their page, and the JSON API below `/api/v1`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from include.parser_tasks import pages as own
from include.parser_tasks import rest
from include.parser_tasks.service import Service
from include.web.app import build_app as build
from include.web.guard import Access
from include.web.pages import Pages, Tab

API = "/api/v1"


def build_app(
    tab: Tab, tabs: tuple[Tab, ...], access: Access, service: Service, name_of: Callable[[Any], str] = str
) -> FastAPI:
    """The application; `name_of` is how a user is called."""
    pages = Pages(tab, tabs, Path(__file__).parent / "templates")
    app = build(pages, access, changing=(API + rest.EXPIRE,))
    app.include_router(rest.router(service, name_of), prefix=API)
    app.include_router(own.router(pages, service, name_of))
    return app
