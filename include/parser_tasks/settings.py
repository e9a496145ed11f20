"""What a user may set for the parser tasks: brokers, topics, sizes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.common import readers
from include.common.errors import ConfigError
from include.common.text import shown

CONNECTION = "kafka_default"
# Where the launcher says that its demo broker is; taken only where a user names no brokers.
DEMO = "HEADRACE_DEMO_KAFKA"
# Milliseconds: the demo broker keeps a member that has left until its session is over.
DEMO_SESSION = 6_000
# Parser type -> its topic, where the environment says no other.
TOPICS = {"rss": "rss_parser_tasks", "vk": "vk_parser_tasks", "youtube": "youtube_parser_tasks"}
_PARSER_TOPIC = re.compile(r"([A-Z][A-Z0-9_]*)_PARSER_TASKS_TOPIC")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True)
class KafkaSettings:
    """How to reach the brokers and what is where on them. `bootstrap` is "" where nobody named a broker.

    `config` has options of librdkafka, secrets among them; `topics` has the topic of each parser type.
    """

    bootstrap: str
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    topics: Mapping[str, str] = field(default_factory=lambda: dict(TOPICS))
    status_topic: str = "task_statuses"
    group: str = "parser_manager"
    bulk_size: int = 1000
    bulk_seconds: float = 10.0
    max_request_size: int = 1_048_576
    heartbeat_ms: int = 5_000
    session_ms: int = 45_000
    partitions: int = 3
    demo: bool = False

    @property
    def dead_letter_topic(self) -> str:
        """Where status messages go that can never be applied."""
        return f"{self.status_topic}.dlq"


@dataclass(frozen=True)
class Settings:
    """`backlog_limit` is how many messages of a topic may be unread before no more tasks are created for it.

    `statuses_read` False leaves the status messages where they are.
    """

    kafka: KafkaSettings
    page_size: int = 100
    backlog_limit: int = 10_000
    statuses_read: bool = True


def from_environment(environment: Mapping[str, str], connection_extra: Mapping[str, Any] | None = None) -> Settings:
    """The settings; an empty variable counts as not set. `connection_extra` is that of Airflow's `kafka_default`.

    The brokers are those of KAFKA_BOOTSTRAP_SERVERS, else of KAFKA_HOST and KAFKA_PORT, else of the connection, else
    the demo's. The connection's other options go to its own brokers; where it names none, to those that a user named.
    Raises `ConfigError` for a value that cannot work.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    bootstrap, config, demo = _brokers(given, connection_extra or {})
    kafka = KafkaSettings(
        bootstrap=bootstrap,
        config=config,
        topics=_topics(given),
        status_topic=_topic("KAFKA_TASK_STATUS_TOPIC", given.get("KAFKA_TASK_STATUS_TOPIC", "task_statuses")),
        group=given.get("KAFKA_TASKS_CONSUMER_GROUP", "parser_manager"),
        bulk_size=_number(given, "KAFKA_DEFAULT_BULK_SIZE", 1000),
        bulk_seconds=_number(given, "KAFKA_DEFAULT_BULK_TIMEOUT", 10_000) / 1000,
        max_request_size=_number(given, "KAFKA_MAX_REQUEST_SIZE", 1_048_576),
        heartbeat_ms=_number(given, "KAFKA_HEARTBEAT_INTERVAL_MS", 5_000),
        session_ms=_number(given, "KAFKA_SESSION_TIMEOUT_MS", DEMO_SESSION if demo else 45_000),
        partitions=_number(given, "KAFKA_PARTITIONS", 3),
        demo=demo,
    )
    if kafka.heartbeat_ms >= kafka.session_ms:
        raise ConfigError(
            f"KAFKA_HEARTBEAT_INTERVAL_MS is `{kafka.heartbeat_ms}`; allowed is less than KAFKA_SESSION_TIMEOUT_MS, "
            f"which is `{kafka.session_ms}`"
        )
    _check_apart(kafka)
    return Settings(
        kafka=kafka,
        page_size=_number(given, "DEFAULT_PAGINATION_SIZE", 100),
        backlog_limit=_number(given, "PARSER_TASKS_BACKLOG_LIMIT", 10_000),
        statuses_read=readers.truth("KAFKA_WORKERS_ENABLED", given.get("KAFKA_WORKERS_ENABLED", "true")),
    )


def _brokers(given: Mapping[str, str], extra: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], bool]:
    """Their addresses, the options for them, and whether they are the demo's."""
    if not isinstance(extra, Mapping):
        raise ConfigError(f"connection `{CONNECTION}`: its extra must be a JSON object")
    options = {str(name): value for name, value in extra.items() if name != "bootstrap.servers"}
    of_connection = str(extra.get("bootstrap.servers") or "").strip()
    named = given.get("KAFKA_BOOTSTRAP_SERVERS", "") or _host_and_port(given)
    if named:
        return named, options if of_connection in ("", named) else {}, False
    if of_connection:
        return of_connection, options, False
    return given.get(DEMO, ""), {}, DEMO in given


def _host_and_port(given: Mapping[str, str]) -> str:
    if "KAFKA_HOST" not in given and "KAFKA_PORT" not in given:
        return ""
    port = _number(given, "KAFKA_PORT", 9092)
    if port > 65535:
        raise ConfigError(f"KAFKA_PORT is `{port}`; allowed is a whole number from 1 to 65535")
    return f"{given.get('KAFKA_HOST', 'localhost')}:{port}"


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    """A whole number, which may be written as `1_048_576`."""
    return readers.whole_number(name, given[name].replace("_", "")) if name in given else default


def _topics(given: Mapping[str, str]) -> dict[str, str]:
    found = dict(TOPICS)
    for name, topic in sorted(given.items()):
        if match := _PARSER_TOPIC.fullmatch(name):
            found[match[1].lower()] = _topic(name, topic)
    return found


def _topic(name: str, topic: str) -> str:
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise ConfigError(
            f"{name} is `{shown(topic)}`; allowed are at most 249 letters of the alphabet, digits, `.`, `_` and `-`"
        )
    return topic


def _check_apart(kafka: KafkaSettings) -> None:
    """A topic of tasks has one kind of parser, and no other messages."""
    whose = {kafka.status_topic: "the statuses", kafka.dead_letter_topic: "the dead letters"}
    for parser, topic in kafka.topics.items():
        if topic in whose:
            raise ConfigError(
                f"{parser.upper()}_PARSER_TASKS_TOPIC is `{topic}`, the topic of {whose[topic]}; "
                "allowed is one of its own"
            )
        whose[topic] = f"the parser `{parser}`"
