"""`/headrace/metrics`: what the systems count, as Prometheus reads it. Measured at each scrape, nothing is kept."""

import secrets
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from include.web.guard import Access, path_of

PATH = "/metrics"


class _Scraper:
    """The user that the scrape token stands for."""


SCRAPER = _Scraper()


class _Measured(Collector):
    """Metrics that were measured already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def add_metrics(app: FastAPI, measure: Callable[[Any], Iterable[Metric]]) -> None:
    """Have the application answer at `PATH` with what `measure` gives for the user: one of Airflow's, or `SCRAPER`."""

    @app.get(PATH)
    def metrics(request: Request) -> Response:
        registry = CollectorRegistry()
        registry.register(_Measured([*measure(request.state.visitor.user)]))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})


def or_scraper(access: Access, token: str) -> Access:
    """`access`, and `PATH` for whoever sends `token` to read it; nobody can where that is empty.

    The token opens nothing else, and there are no others at `PATH`: 401 where neither it nor a login is sent.
    """

    async def user_of(request: Request) -> Any:
        if path_of(request.scope) != PATH:
            return await access.user_of(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if token and scheme.lower() == "bearer" and secrets.compare_digest(given.encode(), token.encode()):
            return SCRAPER
        try:
            return await access.user_of(request)
        except HTTPException as error:
            sentence = "The metrics take the scrape token (HEADRACE_METRICS_TOKEN) or a login."
            raise HTTPException(401, sentence, {"WWW-Authenticate": "Bearer"}) from error

    return Access(
        user_of,
        lambda user: user is SCRAPER or access.may_read(user),
        lambda user: user is not SCRAPER and access.may_change(user),
    )
