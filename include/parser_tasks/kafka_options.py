"""What librdkafka is told for a client, and what its errors mean for us. No value of an option stands in a message."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from include.common.errors import ConfigError, HeadraceError, TransientError
from include.common.text import one_line
from include.parser_tasks.settings import CONNECTION, KafkaSettings

log = logging.getLogger(__name__)
Client = TypeVar("Client")
# Seconds until a fault that goes on is in the log once more.
SAID_AGAIN = 60.0
# What a connection that others use as well may say, and what is settled here all the same.
_OURS = frozenset({"group.id", "error_callback", "error_cb", "stats_cb", "log_cb", "on_commit", "plugin.library.paths"})
_REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,  # the name of a topic that Kafka does not take
    }
)


class Faults:
    """What librdkafka says of its connections meanwhile: whether a broker refused us."""

    def __init__(self, bootstrap: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._bootstrap, self._clock = bootstrap, clock
        self._refused: ConfigError | None = None
        self._said: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """The client's `error_cb`."""
        now, code = self._clock(), error.code()
        if now - self._said.get(code, float("-inf")) >= SAID_AGAIN:
            self._said[code] = now
            log.warning("Kafka: %s", one_line(error.str()))
        found = meaning(error, self._bootstrap)
        if isinstance(found, ConfigError):
            self._refused = found

    def forget(self) -> None:
        """Begin anew: what refused us may have been put right."""
        self._refused = None

    @property
    def refused(self) -> ConfigError | None:
        """The error where a broker refused us since."""
        return self._refused


def made(kind: Callable[..., Client], settings: KafkaSettings, faults: Faults, options: Mapping[str, Any]) -> Client:
    """A client of confluent-kafka; raises `ConfigError` where no broker is named or an option is not librdkafka's."""
    if not settings.bootstrap:
        raise ConfigError(
            f"no Kafka broker is named: KAFKA_BOOTSTRAP_SERVERS, KAFKA_HOST and connection `{CONNECTION}` are empty"
        )
    theirs = {name: value for name, value in settings.config.items() if name not in _OURS}
    whole = {
        "client.id": "headrace",
        # Each attempt to connect would be a line; `Faults` says each fault once in a while.
        "log_level": 2,
        "log.connection.close": False,
        "reconnect.backoff.ms": 500,
        # Seconds, not minutes, until a topic that was made or has more partitions is seen.
        "topic.metadata.refresh.interval.ms": 10_000,
        **theirs,
        **options,
        "bootstrap.servers": settings.bootstrap,
        "error_cb": faults,
    }
    try:
        return kind(whole, logger=log)
    except (KafkaException, TypeError, ValueError) as error:
        named = _named(str(error), theirs)
        raise ConfigError(f"Kafka's client refuses the options of connection `{CONNECTION}`{named}") from None


def _named(text: str, options: Iterable[str]) -> str:
    """The options that an error speaks of; its own words may hold a value."""
    found = ", ".join(f"`{name}`" for name in options if name in text)
    return f": look at {found}" if found else ""


def meaning(error: KafkaError, bootstrap: str) -> HeadraceError:
    """An error of librdkafka as one of ours: refused for good, or to be tried again."""
    if error.code() in _REFUSED:
        return ConfigError(f"Kafka at `{bootstrap}` refuses us: {error.name()}; look at connection `{CONNECTION}`")
    return TransientError(f"Kafka at `{bootstrap}` does not do what it was asked: {error.name()}")


def away(bootstrap: str, seconds: float) -> TransientError:
    """No broker answers."""
    return TransientError(f"no Kafka broker of `{bootstrap}` answers within {seconds:.0f} s")
