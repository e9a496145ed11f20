"""Where a reference parser's worker finds its topics, by the environment."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from include.common.errors import ConfigError


class Place(NamedTuple):
    """What a `KafkaLine` is made with."""

    bootstrap: str
    topic: str
    status_topic: str
    group: str
    options: Mapping[str, Any]


def given(environment: Mapping[str, str]) -> dict[str, str]:
    """What is set; an empty variable counts as not set."""
    return {key: value.strip() for key, value in environment.items() if value.strip()}


def place(name: str, found: Mapping[str, str]) -> Place:
    """The place of the parser `name`; raises `ConfigError` where something is missing."""
    return Place(
        needed(found, "KAFKA_BOOTSTRAP_SERVERS"),
        found.get(f"{name.upper()}_PARSER_TASKS_TOPIC", f"{name}_parser_tasks"),
        found.get("KAFKA_TASK_STATUS_TOPIC", "task_statuses"),
        found.get(f"{name.upper()}_PARSERS_GROUP", f"{name}_parsers"),
        _options(found.get("KAFKA_WORKER_OPTIONS", "{}")),
    )


def needed(found: Mapping[str, str], name: str) -> str:
    """A variable's value; raises `ConfigError` where it is not set."""
    if name not in found:
        raise ConfigError(f"{name} is not set")
    return found[name]


def _options(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError("KAFKA_WORKER_OPTIONS is no JSON") from error
    if not isinstance(found, dict):
        raise ConfigError("KAFKA_WORKER_OPTIONS is no JSON object")
    return found
