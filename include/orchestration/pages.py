"""The pages as Airflow mounts them: the overview, and the application of each system that has one."""

import importlib
from typing import Any

from fastapi import FastAPI

from include.orchestration import access, systems
from include.orchestration.dag_states import dag_states
from include.web import overview
from include.web.pages import ROOT, Pages, Tab

OVERVIEW = Tab("Overview", "")


def applications() -> list[dict[str, Any]]:
    """What the plugin gives Airflow as `fastapi_apps`. The overview is last, for its address begins all others."""
    with_pages = [(system, system.page) for system in systems.SYSTEMS if system.page]
    own = {system.name: Tab(system.title, f"/{page.name}") for system, page in with_pages}
    tabs = (OVERVIEW, *own.values())
    found: dict[Tab, FastAPI] = {
        own[system.name]: importlib.import_module(page.module).build_app(
            own[system.name], tabs, access.to_all(system.dag_ids)
        )
        for system, page in with_pages
    }
    found[OVERVIEW] = overview.build_app(Pages(OVERVIEW, tabs), access.to_any(systems.dag_ids), _read)
    return [
        {"name": f"Headrace: {tab.title}", "app": app, "url_prefix": f"{ROOT}{tab.path}"} for tab, app in found.items()
    ]


def _read(user: Any) -> list[overview.Dag]:
    """The DAGs that a user may see, in the order of the systems."""
    visible = [
        (system, dag_id) for system in systems.SYSTEMS for dag_id in system.dag_ids() if access.may("GET", user, dag_id)
    ]
    states = dag_states([dag_id for _, dag_id in visible])
    return [
        overview.Dag(system.title, f"/{system.page.name}" if system.page else None, dag_id, states.get(dag_id))
        for system, dag_id in visible
    ]
