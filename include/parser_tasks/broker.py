"""Kafka behind a small interface: what is sent is acknowledged, what is read is committed when it is said so.

A client belongs to the process and the thread that made it; importing this starts nothing, so a process may fork.
Every call ends in bounded time. Raises `TransientError` where no broker answers, `ConfigError` where one refuses us or
an option is not librdkafka's.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from include.parser_tasks.kafka_options import Faults, away, made, meaning
from include.parser_tasks.models import Position
from include.parser_tasks.settings import KafkaSettings

log = logging.getLogger(__name__)
# Seconds that a call waits for the brokers, where its caller says nothing else.
PATIENCE = 30.0
# Seconds: between two looks at whether a broker has refused us, and without a message until a bulk counts as read.
SLICE, LULL = 1.0, 0.1
# Seconds that a group takes to give its members their partitions, all of which are there.
JOINING = 10.0
# A commit by somebody who is no longer a member: the messages are given to another one, who reads them again.
_FENCED = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS}
    | {KafkaError.FENCED_INSTANCE_ID, KafkaError._NO_OFFSET}
)
# What a reader has no business with: the topic is not there yet, or it took too long over its last messages.
_PASSING = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
    | {KafkaError._MAX_POLL_EXCEEDED, KafkaError._PARTITION_EOF}
)


class OutgoingMessage(NamedTuple):
    """A message to be sent; `tag` is the caller's name for it."""

    tag: Any
    topic: str
    key: bytes
    value: bytes
    headers: Mapping[str, bytes] = {}


class Sent(NamedTuple):
    """What became of a message. Without a position it may or may not have arrived; `error` says what is known.

    `is_final`: it was not sent, and never can be as it is.
    """

    tag: Any
    position: Position | None
    error: str = ""
    is_final: bool = False


class Incoming(NamedTuple):
    """A message that was read. `at` is when it was sent, in seconds since the epoch."""

    position: Position
    key: bytes | None
    value: bytes | None
    at: float
    headers: Mapping[str, bytes] = {}


class Producer:
    """Sends messages, each at most once for a call, those of one key in their order, and waits for all replicas."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings, self._faults = settings, Faults(settings.bootstrap)
        self._unknown = f"not acknowledged by Kafka at `{settings.bootstrap}`"
        self._client = self._made()

    def send(self, messages: Iterable[OutgoingMessage], seconds: float = PATIENCE) -> list[Sent]:
        """What became of each message, in their order, once all are acknowledged or `seconds` are over.

        What was not acknowledged by then is given up: it is not sent afterwards. Raises `ConfigError` where a broker
        refuses us and nothing was sent.
        """
        ends = time.monotonic() + seconds
        self._faults.forget()
        sent: list[Sent] = []
        for index, message in enumerate(messages):
            sent.append(Sent(message.tag, None, self._unknown))
            self._hand_over(message, sent, index, ends)
        while len(self._client) and self._waits(ends):
            self._client.poll(min(SLICE, max(0.0, ends - time.monotonic())))
        self.close()
        if self._faults.refused and sent and not any(each.position for each in sent):
            raise self._faults.refused
        return sent

    def close(self) -> None:
        """Give up what is not acknowledged. Connections end with the client."""
        if len(self._client):
            self._client.purge()
            self._client.flush(SLICE)

    def _made(self) -> confluent_kafka.Producer:
        options = {
            "enable.idempotence": True,
            "acks": "all",
            "message.max.bytes": self._settings.max_request_size,
            # As Java's clients choose, so that senders in other languages put a key into the same partition.
            "partitioner": "murmur2_random",
            # How long a topic that is not there is waited for.
            "topic.metadata.propagation.max.ms": 5_000,
        }
        return made(confluent_kafka.Producer, self._settings, self._faults, options)

    def _waits(self, ends: float) -> bool:
        return not self._faults.refused and time.monotonic() < ends

    def _hand_over(self, message: OutgoingMessage, sent: list[Sent], index: int, ends: float) -> None:
        tag, topic, key, value, headers = message
        heard = partial(self._heard, tag, sent, index)
        renewed = False
        while True:
            try:
                self._client.produce(topic, value, key, headers=list(headers.items()), on_delivery=heard)
                self._client.poll(0)
                return
            except BufferError:  # as many are under way as the client holds
                if not self._waits(ends):
                    return
                self._client.poll(LULL)
            except KafkaException as error:
                fault: KafkaError = error.args[0]
                if fault.code() == KafkaError._FATAL and not renewed:
                    self.close()  # an idempotent client that has lost count is of no more use
                    self._client, renewed = self._made(), True
                    continue
                # Said by the client of this very message; a broker says it of all that came with one.
                is_final = fault.code() == KafkaError.MSG_SIZE_TOO_LARGE
                sent[index] = Sent(tag, None, self._sentence(fault, topic, len(value)), is_final)
                return

    def _heard(self, tag: Any, sent: list[Sent], index: int, error: KafkaError | None, message: Message) -> None:
        """Of one message, by librdkafka."""
        topic, partition, offset = str(message.topic()), message.partition(), message.offset()
        if error is None and partition is not None and offset is not None:
            sent[index] = Sent(tag, Position(topic, partition, offset))
        else:
            sent[index] = Sent(tag, None, self._sentence(error, topic, len(message.value() or b"")))

    def _sentence(self, error: KafkaError | None, topic: str, size: int) -> str:
        code = error.code() if error else None
        if code in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE):
            return f"the message has {size} bytes; `{topic}` and KAFKA_MAX_REQUEST_SIZE allow fewer"
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            return f"there is no topic `{topic}`"
        if code in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._MSG_TIMED_OUT):
            return self._unknown
        return f"not taken by Kafka: {error.name() if error else 'without a position'}"


class Consumer:
    """A member of a group that reads a topic from its oldest unread message; the group is the settings' by default."""

    def __init__(self, settings: KafkaSettings, topic: str, group: str = "") -> None:
        self._bootstrap, self._topic = settings.bootstrap, topic
        self._faults = Faults(settings.bootstrap)
        self._next: dict[tuple[str, int], int] = {}
        options = {
            "group.id": group or settings.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
            "allow.auto.create.topics": False,
            "session.timeout.ms": settings.session_ms,
            "heartbeat.interval.ms": settings.heartbeat_ms,
            # Between two reads: a database that is away is waited for meanwhile.
            "max.poll.interval.ms": max(960_000, settings.session_ms),
        }
        self._client = made(confluent_kafka.Consumer, settings, self._faults, options)
        self._is_member, self._joins_by = False, time.monotonic() + settings.session_ms / 1000 + JOINING
        self._client.subscribe([topic], on_assign=self._has_joined)

    def _has_joined(self, *_given: Any) -> None:
        """Called by librdkafka when the group has given us our partitions, be it none."""
        self._is_member = True

    def read(self, most: int, seconds: float) -> list[Incoming]:
        """Up to `most` messages: what is there once one came, but for no longer than `seconds`; [] where none came.

        A member that joins waits besides until it has its partitions, and looks for `seconds` at them: those of a
        member that vanished are given away when that one's session is over. An end after `seconds` would be the next
        one's vanished member.
        Whoever cannot use what came closes the consumer without a commit: another one reads it again.
        """
        while True:
            has_joined = self._is_member or time.monotonic() >= self._joins_by
            if found := self._read(most, time.monotonic() + seconds):
                return found
            if not self._is_there() or has_joined:
                return []

    def _read(self, most: int, ends: float) -> list[Incoming]:
        self._faults.forget()
        found: list[Incoming] = []
        while len(found) < most and (left := ends - time.monotonic()) > 0:
            came = self._client.consume(most - len(found) if found else 1, min(left, LULL if found else SLICE))
            found += self._taken(came, fail=not found)
            if found and not came:
                break
            if not found and self._faults.refused:
                raise self._faults.refused
        return found

    def commit(self) -> None:
        """What `read` has returned is read, for good; it is written on the broker when this returns.

        What has been given to another member meanwhile is not: that one reads it again.
        """
        try:
            mine = {(each.topic, each.partition) for each in self._client.assignment()}
            offsets = [TopicPartition(*place, offset) for place, offset in self._next.items() if place in mine]
            self._next.clear()
            if not offsets:
                return
            told = self._client.commit(offsets=offsets, asynchronous=False)
            fault = next((each.error for each in told or () if each.error), None)
        except KafkaException as error:
            fault = error.args[0]
        if fault and fault.code() in _FENCED:
            log.info("not committed, another member reads it again: %s", fault.name())
        elif fault:
            raise meaning(fault, self._bootstrap)

    def close(self) -> None:
        """Leave the group; what was not committed is read again."""
        self._client.close()

    def _taken(self, came: list[Message], fail: bool) -> list[Incoming]:
        """The messages among what came. An error is raised where it came alone: messages beside it would be lost."""
        found = []
        for message in came:
            fault = message.error()
            if fault is None:
                found.append(incoming(message))
            elif fault.code() not in _PASSING:
                if fail and not found and len(came) == 1:
                    raise meaning(fault, self._bootstrap)
                log.warning("reading `%s`: %s", self._topic, fault.name())
        for each in found:
            self._next[each.position.topic, each.position.partition] = each.position.offset + 1
        return found

    def _is_there(self) -> bool:
        """Whether there is such a topic, of which one could have partitions."""
        try:
            found = self._client.list_topics(self._topic, timeout=5.0).topics.get(self._topic)
        except KafkaException:
            raise (self._faults.refused or away(self._bootstrap, 5.0)) from None
        return bool(found and not found.error)


def incoming(message: Message) -> Incoming:
    """A message that librdkafka has read, one without an error."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    headers = {str(header[0]): header[1] for header in message.headers() or () if isinstance(header[1], bytes)}
    at = message.timestamp()[1] / 1000
    return Incoming(Position(topic, partition, offset), message.key(), message.value(), at, headers)
