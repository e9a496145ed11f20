"""What is set for the parser tasks: by the environment, and by the Airflow connection `kafka_default`."""

import json
import os
from collections.abc import Mapping
from typing import Any

from include.common.errors import ConfigError
from include.parser_tasks.settings import CONNECTION, Settings, from_environment


def settings() -> Settings:
    """The settings, in a task or in the api-server; raises `ConfigError` for what cannot work."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        stored = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        return from_environment(os.environ)
    return from_environment(os.environ, _read(stored.extra))


async def settings_of_trigger() -> Settings:
    """The settings, in a triggerer, which may not be kept waiting."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        stored = await Connection.async_get(CONNECTION)
    except AirflowNotFoundException:
        return from_environment(os.environ)
    return from_environment(os.environ, _read(stored.extra))


def _read(extra: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(extra or "{}")
    except ValueError as error:
        raise ConfigError(f"connection `{CONNECTION}`: its extra must be a JSON object") from error
    return dict(found) if isinstance(found, Mapping) else {}
