"""The status topic is read: bulks are applied in the database, dead letters sent, and only then offsets committed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy

from include.common.errors import TransientError
from include.parser_tasks.broker import Incoming, OutgoingMessage
from include.parser_tasks.outbox import PATIENCE, Sender
from include.parser_tasks.settings import KafkaSettings
from include.parser_tasks.statuses import DeadLetter, apply

# Bytes of a message that the dead letter queue keeps.
MOST_KEPT = 65_536


class Reader(Protocol):
    """What `include.parser_tasks.broker.Consumer` is."""

    def read(self, most: int, seconds: float) -> list[Incoming]:
        """The next messages."""

    def commit(self) -> None:
        """What was read is done with."""


@dataclass
class Drained:
    """What was done with the messages that were read."""

    applied: int = 0
    refused: int = 0
    dead: int = 0


def drain(
    engine: sqlalchemy.Engine,
    reader: Reader,
    sender: Sender,
    kafka: KafkaSettings,
    clock: Callable[[], float],
    go_on: Callable[[], bool] = lambda: True,
) -> Drained:
    """Apply bulk after bulk until there is no message, or `go_on` says no.

    Raises `TransientError` where the database or the broker does not answer: what was not committed is read again.
    """
    total = Drained()
    while go_on() and (bulk := reader.read(kafka.bulk_size, kafka.bulk_seconds)):
        result = apply(engine, bulk, clock())
        if result.dead:
            _bury(sender, kafka.dead_letter_topic, result.dead)
        reader.commit()
        total.applied += result.applied
        total.refused += result.refused
        total.dead += len(result.dead)
    return total


def _bury(sender: Sender, topic: str, dead: Sequence[DeadLetter]) -> None:
    sent = sender.send([_letter(topic, each) for each in dead], PATIENCE)
    if failed := [each for each in sent if each.position is None]:
        raise TransientError(f"{len(failed)} dead letters did not reach `{topic}`: {failed[0].error}")


def _letter(topic: str, dead: DeadLetter) -> OutgoingMessage:
    message = dead.message
    value = message.value or b""
    headers = {
        "reason": dead.refusal.value,
        "detail": dead.detail,
        "topic": message.position.topic,
        "partition": str(message.position.partition),
        "offset": str(message.position.offset),
        "size": str(len(value)),
    }
    told = {name: text.encode() for name, text in headers.items()}
    return OutgoingMessage(message.position, topic, message.key or b"", value[:MOST_KEPT], told)
