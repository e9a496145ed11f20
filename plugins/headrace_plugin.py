"""Headrace as Airflow lists it.

The one file here: Airflow executes every module below this folder under its bare name.
"""

from airflow.plugins_manager import AirflowPlugin

from include.orchestration import pool_slots


class HeadracePlugin(AirflowPlugin):
    """What Headrace adds to Airflow's processes; it is built in `include`."""

    name = "headrace"
    listeners = (pool_slots,)
