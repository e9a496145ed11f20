"""The first page: every system with its DAGs, how each one's last run went, and what needs a person."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from include.web.app import build_app as build
from include.web.guard import Access, path_of
from include.web.listing import Choice, PageNumber, sliced
from include.web.pages import Pages, is_fragment

SHOWN = Choice("shown", "Show", {"": "All DAGs", "needed": "What needs a person", "off": "Switched off"})


@dataclass(frozen=True)
class Run:
    """A run of a DAG: `at` is when it began, or was queued."""

    run_id: str
    state: str
    at: datetime


@dataclass(frozen=True)
class DagState:
    """How a DAG is that Airflow has read; `schedule` is in words, "" for none."""

    is_on: bool
    schedule: str = ""
    next_at: datetime | None = None
    last: Run | None = None
    is_broken: bool = False


@dataclass(frozen=True)
class Dag:
    """A DAG of a system; `path` is where the system's page is, if it has one, `state` None: Airflow has not read it."""

    system: str
    path: str | None
    dag_id: str
    state: DagState | None = None

    @property
    def need(self) -> str:
        """What a person has to see to; "" where there is nothing."""
        if self.state is None:
            return "Airflow has not read it"
        if self.state.is_broken:
            return "Its file does not import"
        last = self.state.last
        if last and last.state == "failed":
            return "The last run failed"
        if last and last.state == "queued" and not self.state.is_on:
            return "A run waits until the DAG is switched on"
        return ""


def build_app(pages: Pages, access: Access, read: Callable[[Any], Sequence[Dag]]) -> FastAPI:
    """The overview; `read` gives the DAGs that a user may see, those of a system together."""
    app = build(pages, access)
    for tab in pages.tabs:
        if tab.path:
            app.add_route(tab.path, _with_slash)

    @app.get("/")
    def overview(request: Request, q: str = "", shown: str = "", page: PageNumber = 1) -> Response:
        dags = read(request.state.visitor.user)
        wanted = [dag for dag in dags if q.lower() in dag.dag_id.lower() and _is_shown(dag, shown)]
        listing = sliced(wanted, page, {"q": q, "shown": shown})
        values = {
            "listing": listing,
            "systems": [(system, list(its)) for system, its in groupby(listing.rows, lambda dag: dag.system)],
            "is_empty": not any(dag.state for dag in dags),
            "needs": sum(bool(dag.need) for dag in dags),
            "choices": [SHOWN],
        }
        return pages.render(request, "overview_rows.html" if is_fragment(request) else "overview.html", values)

    return app


async def _with_slash(request: Request) -> Response:
    """A system's page without the slash at its end, which Airflow takes for one of the overview's."""
    return RedirectResponse(f"{path_of(request.scope).strip('/')}/")


def _is_shown(dag: Dag, shown: str) -> bool:
    return {"needed": bool(dag.need), "off": bool(dag.state and not dag.state.is_on)}.get(shown, True)
