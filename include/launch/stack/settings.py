"""Refuses settings of the stack that cannot work, before anything is started with them.

Compose itself refuses a memory size, a number of CPUs, workers or a port that is none. A variable is empty where its
default holds.
"""

import importlib
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import sqlalchemy
from yarl import URL

from include.common.errors import ConfigError, HeadraceError
from include.launch.stack.connections import connections
from include.orchestration.memory import task_memory
from include.orchestration.paths import storage
from include.orchestration.pools import pools_file, read_pools
from include.orchestration.systems import SYSTEMS

PROFILES = ("demo", "flower", "kafka", "monitoring")
# A folder of the host is whose it is there.
FOLDERS = {"/srv/headrace": "HEADRACE_VOLUME", "/opt/airflow/logs": "LOGS_VOLUME"}


def problems(environment: Mapping[str, str], folders: Mapping[str, str] = FOLDERS) -> list[str]:
    """A sentence for each setting that cannot work; none shows the value of one that may hold a password.

    `folders` are the shared ones, each with the setting that chooses it.
    """
    found = [
        f"{folder} is not writable for user {os.getuid()}; the folder that {setting} names must be"
        for folder, setting in folders.items()
        if not _is_writable(Path(folder))
    ]
    for name, check in CHECKS.items():
        value = environment.get(name, "").strip()
        if value and (problem := check(value)):
            found.append(f"{name} {problem}")
    readers: list[Callable[[Mapping[str, str]], object]] = [connections, task_memory, _read_pools, _find_storage]
    for read in (*readers, *_of_systems()):
        try:
            read(environment)
        except HeadraceError as error:
            found.append(str(error))
    return found


def _of_systems() -> Iterator[Callable[[Mapping[str, str]], object]]:
    """What reads the settings of each system that has any to be checked."""
    for system in SYSTEMS:
        if system.check:
            yield importlib.import_module(system.check).from_environment


def _matches(pattern: str, allowed: str) -> Callable[[str], str | None]:
    return lambda value: None if re.fullmatch(pattern, value) else f"is `{value}`; allowed is {allowed}"


def _autoscale(value: str) -> str | None:
    found = re.fullmatch(r"([1-9]\d*),([1-9]\d*)", value)
    if found and int(found[1]) >= int(found[2]):
        return None
    return f"is `{value}`; allowed is the most and the fewest tasks at once, such as 8,2"


def _profiles(value: str) -> str | None:
    unknown = [name for name in value.split(",") if name and name not in (*PROFILES, "*")]
    return f"has `{unknown[0]}`; allowed are {', '.join(PROFILES)}" if unknown else None


def _web_address(value: str) -> str | None:
    try:
        usable = (url := URL(value)).scheme in ("http", "https") and bool(url.host)
    except ValueError:
        usable = False
    return None if usable else "is no address; allowed is an http:// or https:// URL with a host"


def _database(value: str) -> str | None:
    try:
        sqlalchemy.make_url(value.removeprefix("db+")).get_dialect()
    except sqlalchemy.exc.SQLAlchemyError:
        return "is no database's URL, such as postgresql+psycopg2://user:password@host/database"
    return None


def _bundles(value: str) -> str | None:
    try:
        bundles = json.loads(value)
    except ValueError as error:
        return f"is not JSON: {error}"
    usable = isinstance(bundles, list) and all(
        isinstance(bundle, dict) and {"name", "classpath"} <= bundle.keys() for bundle in bundles
    )
    return None if bundles and usable else 'is no list of bundles, such as [{"name": …, "classpath": …, "kwargs": {…}}]'


def _python_class(value: str) -> str | None:
    module = value.rpartition(".")[0]
    try:
        found = bool(module) and importlib.util.find_spec(module) is not None
    except ImportError:
        found = False
    return None if found else f"is `{value}`, which the image does not have"


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _read_pools(environment: Mapping[str, str]) -> None:
    read_pools(pools_file(environment))


def _find_storage(environment: Mapping[str, str]) -> None:
    name, default = "HEADRACE_STORAGE", "/srv/headrace"
    where = storage({name: environment.get(name, "").strip() or default})
    if isinstance(where, Path) and not _is_writable(where):
        raise ConfigError(
            f"{name} is `{where}`, which is no folder in the containers that user {os.getuid()} can write to; a folder "
            f"of the host is named by HEADRACE_VOLUME, and is `{default}` in there"
        )


_number = _matches(r"[1-9]\d*", "a whole number from 1")
_switch = _matches(r"(?i)true|false", "True or False")
CHECKS: dict[str, Callable[[str], str | None]] = {
    "COMPOSE_PROFILES": _profiles,
    "API_URL": _web_address,
    "HEADRACE_DEMO_API": _web_address,
    "WEB_URL": _web_address,
    "EXECUTION_API_URL": _web_address,
    "AIRFLOW_DATABASE_URL": _database,
    "HEADRACE_DATABASE_URL": _database,
    "RESULT_BACKEND": _database,
    "BROKER_URL": lambda value: None if re.match(r"\w+://.", value) else "is no URL, such as redis://:password@host",
    "DAG_BUNDLES": _bundles,
    "AUTH_MANAGER": _python_class,
    "WORKER_AUTOSCALE": _autoscale,
    "WORKER_CONCURRENCY": _number,
    "PARALLELISM": _number,
    "API_WORKERS": _number,
    "HEADRACE_UPLOAD_MB": _number,
    "TASK_HEARTBEAT_TIMEOUT": _number,
    "VISIBILITY_TIMEOUT": _number,
    "STATSD_ON": _switch,
    "STATSD_PORT": _number,
    "KAFKA_AUTO_CREATE_TOPICS": _switch,
    "LOG_MAX_SIZE": _matches(r"(?i)[1-9]\d*[kmg]", "a size such as 10m"),
    "LOG_MAX_FILES": _number,
}
