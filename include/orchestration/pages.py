"""The pages as Airflow mounts them: the overview with the metrics, and the application of each system that has one."""

import importlib
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from prometheus_client.core import Metric

from include.orchestration import access, environment, systems
from include.orchestration.dag_states import dag_states
from include.orchestration.systems import System
from include.web import metrics, overview
from include.web.pages import ROOT, Pages, Tab

OVERVIEW = Tab("Overview", "")


def applications() -> list[dict[str, Any]]:
    """What the plugin gives Airflow as `fastapi_apps`. The overview is last, for its address begins all others."""
    with_pages = [(system, system.page) for system in systems.SYSTEMS if system.page]
    own = {system.name: Tab(system.title, f"/{page.name}") for system, page in with_pages}
    tabs = (OVERVIEW, *own.values())
    found: dict[Tab, FastAPI] = {
        own[system.name]: importlib.import_module(page.module).build_app(
            own[system.name], tabs, access.to_all(system.dag_ids), system.dag_ids
        )
        for system, page in with_pages
    }
    to_overview = metrics.or_scraper(access.to_any(systems.dag_ids), environment.metrics_token())
    found[OVERVIEW] = overview.build_app(Pages(OVERVIEW, tabs), to_overview, _read)
    metrics.add_metrics(found[OVERVIEW], _measure)
    return [
        {"name": f"Headrace: {tab.title}", "app": app, "url_prefix": f"{ROOT}{tab.path}"} for tab, app in found.items()
    ]


def _read(user: Any) -> list[overview.Dag]:
    """The DAGs that a user may see, in the order of the systems."""
    visible = [(system, dag_id) for system in systems.SYSTEMS for dag_id in _visible(system, user)]
    states = dag_states([dag_id for _, dag_id in visible])
    return [
        overview.Dag(system.title, f"/{system.page.name}" if system.page else None, dag_id, states.get(dag_id))
        for system, dag_id in visible
    ]


def _measure(user: Any) -> Iterator[Metric]:
    """The metrics of the DAGs that a user may see, and of all for the scraper."""
    for system in systems.SYSTEMS:
        if system.measure:
            seen = system.dag_ids() if user is metrics.SCRAPER else _visible(system, user)
            yield from importlib.import_module(system.measure).measure(seen)


def _visible(system: System, user: Any) -> list[str]:
    return [dag_id for dag_id in system.dag_ids() if access.may("GET", user, dag_id)]
