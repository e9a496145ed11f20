"""The plugin in a process that has no pages, as the scheduler."""

import subprocess
import sys

from include.orchestration.paths import PROJECT

LOAD = """
import sys
from airflow import plugins_manager
from airflow.listeners.listener import get_listener_manager
loaded, errors = plugins_manager._get_plugins()
assert not errors, errors
plugins_manager.integrate_listener_plugins(get_listener_manager())
print(*(name for name in ("fastapi", "include.web") if name in sys.modules))
print(*(one["url_prefix"] for one in plugins_manager.get_fastapi_plugins()[0]))
"""


def test_the_pages_are_built_only_where_they_are_asked_for(tmp_path):
    environment = {
        "PATH": "",
        "PYTHONPATH": str(PROJECT),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    ended = subprocess.run(
        [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-2:] == ["", "/headrace/csv /headrace/parser-manager /headrace"]
