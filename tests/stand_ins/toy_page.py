"""The page of a system that only tests have: a form and what it did."""

from collections.abc import Callable, Sequence

from fastapi import FastAPI, Request
from starlette.responses import Response

from include.web.app import build_app as build
from include.web.guard import Access
from include.web.pages import Pages, Tab


def build_app(tab: Tab, tabs: tuple[Tab, ...], access: Access, dag_ids: Callable[[], Sequence[str]]) -> FastAPI:
    pages = Pages(tab, tabs)
    app = build(pages, access)

    @app.get("/")
    def toys(request: Request) -> Response:
        return pages.render(request, "error.html", {"sentence": "toys", "status": 200})

    @app.post("/toys/{toy}")
    def make(toy: str) -> str:
        return toy

    return app
