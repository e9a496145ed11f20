"""For all tests: Airflow finds an empty home of its own, and nothing of the caller's environment changes a result."""

import os
import shutil
import tempfile

# Before any test module imports Airflow, which reads its configuration at import; each process of xdist has its own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="headrace-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
    del os.environ[name]
for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(name, None)
SETTINGS = ("HEADRACE_STORAGE", "HEADRACE_DATABASE_URL", "HEADRACE_DEMO_API", "HEADRACE_METRICS_TOKEN")
KAFKA = ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_HOST", "KAFKA_PORT", "HEADRACE_DEMO_KAFKA")
for name in ("API_URL", "BOT_TOKEN", "CHAT_ID", *SETTINGS, *KAFKA):
    os.environ.pop(name, None)

pytest_plugins = ["tests.databases", "tests.kafka"]


def pytest_unconfigure():
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)
