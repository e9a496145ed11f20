"""What is asked of Kafka about topics and groups: which there are, and how much a group has not read."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import confluent_kafka
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewTopic

from include.common.errors import ConfigError
from include.parser_tasks.broker import PATIENCE, SLICE, incoming
from include.parser_tasks.kafka_options import Faults, away, made, meaning
from include.parser_tasks.settings import KafkaSettings

Answer = TypeVar("Answer")
# Seconds from one try to the next, and what one may take at the very least.
SHORTEST = 0.1
# What librdkafka says of brokers that it does not reach.
_AWAY = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Backlog(NamedTuple):
    """How many messages a group has not read, and when the oldest of them was sent; None where it has read all."""

    lag: int
    oldest_unread_at: float | None


class Admin:
    """What is asked about topics and groups, each time within `seconds`."""

    def __init__(self, settings: KafkaSettings, seconds: float = PATIENCE) -> None:
        self._settings, self._seconds = settings, seconds
        self._faults = Faults(settings.bootstrap)
        self._client = made(AdminClient, settings, self._faults, {})
        self._reader: confluent_kafka.Consumer | None = None

    def ensure_topics(self, names: Iterable[str], partitions: int = 0) -> None:
        """Have these topics: made where they are not there, with `partitions` or as many as the settings say."""
        found = self._metadata()
        missing = [name for name in dict.fromkeys(names) if name not in found.topics]
        if found.controller_id not in found.brokers:
            # librdkafka's own broker has nobody to make topics: it makes those that it is asked for.
            for name in missing:
                self._metadata(name)
        elif missing:
            self._asked(lambda left: self._make(missing, partitions or self._settings.partitions, left))

    def backlog(self, group: str, topic: str) -> Backlog:
        """What the group has not read of the topic; nothing where there is no such topic."""
        unread = self._unread(group, self._partitions(topic))
        times = [self._sent_at(TopicPartition(topic, number, first)) for number, (first, lag) in unread.items() if lag]
        return Backlog(sum(lag for _, lag in unread.values()), min(times, default=None))

    def lag(self, group: str, topic: str) -> int:
        """How many messages of the topic the group has not read; 0 where there is no such topic."""
        return sum(lag for _, lag in self._unread(group, self._partitions(topic)).values())

    def groups_of(self, topic: str, known: Iterable[str] = ()) -> Mapping[str, int]:
        """The lag of each group that has committed something of the topic, and of those that are `known`.

        A broker that does not list its groups, as the demo's, tells of those that are known only.
        """
        partitions, lags = self._partitions(topic), {}
        known = list(known)
        listed = self._asked(lambda left: self._client.list_consumer_groups(request_timeout=left).result()).valid or ()
        for group in dict.fromkeys([*known, *(each.group_id for each in listed)]):
            if group in known or any(offset >= 0 for offset in self._committed(group, partitions).values()):
                lags[group] = sum(lag for _, lag in self._unread(group, partitions).values())
        return lags

    def close(self) -> None:
        """End the connection that read messages; the other one ends with the client."""
        if self._reader:
            self._reader.close()

    def _partitions(self, topic: str) -> list[TopicPartition]:
        found = self._metadata().topics.get(topic)
        return [TopicPartition(topic, number) for number in found.partitions] if found else []

    def _unread(self, group: str, partitions: list[TopicPartition]) -> dict[int, tuple[int, int]]:
        """Of each partition, the first message that the group has not read, and how many there are from it on."""
        committed = self._committed(group, partitions)  # before the ends, which only grow
        first, end = self._offsets(partitions, _EARLIEST), self._offsets(partitions, _LATEST)
        unread = {}
        for number, offset in committed.items():
            # One that is not there (any more) is read from the beginning, as a member of the group does it.
            begin = offset if first[number] <= offset <= end[number] else first[number]
            unread[number] = (begin, end[number] - begin)
        return unread

    def _committed(self, group: str, partitions: list[TopicPartition]) -> dict[int, int]:
        def ask(left: float) -> dict[int, int]:
            asked = [ConsumerGroupTopicPartitions(group, partitions)]
            told = self._client.list_consumer_group_offsets(asked, request_timeout=left)[group].result()
            for each in told.topic_partitions or ():
                if each.error:
                    raise KafkaException(each.error)
            return {each.partition: each.offset for each in told.topic_partitions or ()}

        return self._asked(ask) if partitions else {}

    def _offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        def ask(left: float) -> dict[int, int]:
            told = self._client.list_offsets(dict.fromkeys(partitions, spec), request_timeout=left)
            return {place.partition: offset.result().offset for place, offset in told.items()}

        return self._asked(ask) if partitions else {}

    def _sent_at(self, place: TopicPartition) -> float:
        """When the first message from an offset on was sent."""
        if self._reader is None:
            # It is assigned what it reads: so it is no member of the group whose name it bears, for brokers that ask.
            options = {"group.id": self._settings.group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
            self._reader = made(confluent_kafka.Consumer, self._settings, self._faults, options)
        reader = self._reader

        def ask(left: float) -> float:
            message = reader.poll(min(SLICE, left))
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            if fault := message.error():
                raise KafkaException(fault)
            return incoming(message).at

        reader.assign([place])
        try:
            return self._asked(ask)
        finally:
            reader.unassign()

    def _metadata(self, topic: str | None = None) -> ClusterMetadata:
        """What the brokers say of their topics, or of one, which is made by that where a broker makes topics itself."""
        return self._asked(lambda left: self._client.list_topics(topic, timeout=min(SLICE, left)))

    def _make(self, names: list[str], partitions: int, left: float) -> None:
        wanted = [NewTopic(name, partitions) for name in names]
        for waiting in self._client.create_topics(wanted, request_timeout=left, operation_timeout=left).values():
            try:
                waiting.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        # The brokers hear of it after the one that made it.
        there = self._client.list_topics(timeout=min(SLICE, left)).topics
        if any(name not in there for name in names):
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))

    def _asked(self, ask: Callable[[float], Answer]) -> Answer:
        """What is answered to `ask`, which is given the seconds that are left: brokers may be on their way up."""
        self._faults.forget()
        ends = time.monotonic() + self._seconds
        while True:
            try:
                return ask(max(SHORTEST, ends - time.monotonic()))
            except KafkaException as error:
                self._client.poll(0)
                found = self._faults.refused or meaning(error.args[0], self._settings.bootstrap)
                if isinstance(found, ConfigError):
                    raise found from None
                if time.monotonic() + SHORTEST >= ends:
                    code = error.args[0].code()
                    gone = away(self._settings.bootstrap, self._seconds)
                    raise (gone if code in _AWAY else found) from None
                time.sleep(SHORTEST)
