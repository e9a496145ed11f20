"""Headrace as Airflow lists it.

The one file here: Airflow executes every module below this folder under its bare name.
"""

from airflow.plugins_manager import AirflowPlugin


class HeadracePlugin(AirflowPlugin):
    """Mounts what Headrace adds to Airflow's web server; the systems' applications are built in `include`."""

    name = "headrace"
