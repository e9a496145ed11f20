"""The embedded Airflow's environment: the defaults of `.env`, the caller's variables, what belongs to this home."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from include.common.database import SQLITE_BUSY_TIMEOUT
from include.common.errors import ConfigError
from include.orchestration.paths import PROJECT

USER = "admin"
UP_PORT = 8080
USE_JOB_SCHEDULE = "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"
METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"


@dataclass(frozen=True)
class Home:
    """Airflow's home on this machine: databases, logs, generated secrets, what is running."""

    path: Path

    @property
    def logs(self) -> Path:
        """What the processes print, a file each."""
        return self.path / "processes"

    @property
    def passwords(self) -> Path:
        """The simple auth manager's file: user -> password."""
        return self.path / "passwords.json"

    def create(self) -> None:
        """Make the folder, readable by its owner only, with a password for `admin`."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.logs.mkdir(exist_ok=True)
        if not self.passwords.exists():
            _write_private(self.passwords, {USER: secrets.token_urlsafe(12)})

    def password(self) -> str:
        """The generated password of `admin`."""
        return str(json.loads(self.passwords.read_text("utf-8"))[USER])

    def secrets(self) -> dict[str, str]:
        """The secrets that Airflow's processes share, generated once."""
        path = self.path / "secrets.json"
        if not path.exists():
            _write_private(
                path,
                {
                    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
                    "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(48),
                    "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
                },
            )
        return dict(json.loads(path.read_text("utf-8")))


def _write_private(path: Path, value: dict[str, str]) -> None:
    beside = path.with_suffix(".new")  # renamed when whole: a kill leaves no half a file
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.replace(path)


def user_environment() -> dict[str, str]:
    """The caller's environment over the defaults of `.env`; an empty variable counts as not set."""
    defaults = {name: value or "" for name, value in dotenv_values(PROJECT / ".env").items()}
    return {**defaults, **{name: value for name, value in os.environ.items() if value or name not in defaults}}


def airflow_environment(home: Home, port: int, demos: Mapping[str, str], schedule: bool) -> dict[str, str]:
    """What each Airflow process gets. `demos` is variable -> URL.

    `schedule` False: DAGs run when triggered, never on their own.
    """
    web = f"http://127.0.0.1:{port}"
    bundle = {
        "name": "headrace",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(PROJECT)},
    }
    caller = user_environment()
    return {
        **caller,
        # Nobody edits a DAG file during one run; reading them anew takes half a second of a core each time.
        **({} if schedule else {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600"}),
        **demos,
        **home.secrets(),
        "AIRFLOW_HOME": str(home.path),
        # The bundle's folder is on the path of the DAG processor and the tasks only.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{web}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.passwords),
        # Said here, for Airflow's own default goes wrong where the path holds a `%`.
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.path / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home.path / "logs/dag_processor"),
        # A scheduler that waits for another writer for longer than the timeout ends.
        METADATA: _metadata(home, SQLITE_BUSY_TIMEOUT),
        BUNDLES: json.dumps([bundle, *_bundles(caller)]),
        # AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE=False make up: a lasting Airflow whose DAGs run when triggered only.
        USE_JOB_SCHEDULE: str(schedule and caller.get(USE_JOB_SCHEDULE) != "False"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        # An Airflow of one run is gone when its message is read; `make up` shows the run at its own address.
        "AIRFLOW__API__BASE_URL": web if schedule else f"http://127.0.0.1:{UP_PORT}",
        # Nothing may take a request for this machine to a proxy.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"])),
    }


def of_api_server(home: Home, environment: Mapping[str, str]) -> dict[str, str]:
    """What the api-server gets of `environment`, and its own: it waits 5 s for another writer, as SQLite's driver does.

    Airflow writes its audit log in the event loop. Where a request that has the write lock ends by that loop as well,
    both wait until the time is over, and whoever asked is told to try again.
    """
    return {**environment, METADATA: _metadata(home, 5.0)}


def _metadata(home: Home, busy_timeout: float) -> str:
    """Airflow's own database, whose writers wait `busy_timeout` seconds for each other."""
    return f"sqlite:///{home.path / 'airflow.db'}?timeout={busy_timeout}"


def _bundles(environment: Mapping[str, str]) -> list[Any]:
    """The caller's own bundles, which stand beside this one; `ConfigError` where Airflow could not read them."""
    text = environment.get(BUNDLES) or "[]"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{BUNDLES} is `{text}`: {error}; allowed is a JSON list of bundles") from error
    if not isinstance(found, list):
        raise ConfigError(f"{BUNDLES} is `{text}`; allowed is a JSON list of bundles")
    return found
