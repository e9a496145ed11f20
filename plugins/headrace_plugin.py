"""Headrace as Airflow lists it.

The one file here: Airflow executes every module below this folder under its bare name.
"""

from functools import cached_property
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from include.orchestration import pool_slots


class HeadracePlugin(AirflowPlugin):
    """What Headrace adds to Airflow's processes; it is built in `include`."""

    name = "headrace"
    listeners = (pool_slots,)
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Headrace",
            "href": "headrace/",  # without a slash before it: below the prefix of Airflow's `base_url`
            "url_route": "headrace",
            "destination": "nav",
            "nav_top_level": True,
            "icon": "headrace/static/headrace.svg",
            "icon_dark_mode": "headrace/static/headrace-dark.svg",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Built when asked for, which the api-server does alone: other processes load this file for its listeners."""
        from include.orchestration import pages

        return pages.applications()
