"""What our interface makes of librdkafka's answers that a broker does not give at will."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from include.common.errors import ConfigError, TransientError
from include.parser_tasks import broker
from include.parser_tasks.broker import Consumer
from include.parser_tasks.settings import KafkaSettings


class Message:
    """As librdkafka hands it out."""

    def __init__(self, offset=0, error=None):
        self._offset, self._error = offset, error

    def error(self):
        return KafkaError(self._error) if self._error else None

    def topic(self):
        return "t"

    def partition(self):
        return 0

    def offset(self):
        return self._offset

    def key(self):
        return b"k"

    def value(self):
        return b"v"

    def headers(self):
        return None

    def timestamp(self):
        return (1, 1500)


class Client:
    """A consumer of librdkafka with partition 0, which gives one of `bulks` after the other and remembers commits.

    It has its partition at once, or after the first `looks` at whether the broker answers.
    """

    def __init__(self, *bulks, failure=None, looks=0, trouble=None):
        self._bulks, self._failure, self.committed = list(bulks), failure, []
        self.mine = [TopicPartition("t", 0)]
        self.looks, self._joins_at, self._trouble = 0, looks, trouble

    def subscribe(self, topics, on_assign):
        self._on_assign = on_assign
        self._join()

    def _join(self):
        if self.looks == self._joins_at:
            self._on_assign(self, self.mine)

    def consume(self, most, seconds):
        return self._bulks.pop(0) if self._bulks and self.looks >= self._joins_at else []

    def list_topics(self, topic, timeout):
        self.looks += 1
        self._join()
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self._trouble)})

    def assignment(self):
        return self.mine

    def commit(self, offsets, asynchronous):
        if self._failure:
            raise KafkaException(KafkaError(self._failure))
        self.committed.append([(each.topic, each.partition, each.offset) for each in offsets])
        return offsets


def consumer_with(client, monkeypatch):
    monkeypatch.setattr(broker, "made", lambda *_: client)
    return Consumer(KafkaSettings("kafka:9092"), "t")


def offsets(messages):
    return [message.position.offset for message in messages]


def test_what_is_committed_is_one_behind_the_last_message_that_was_returned(monkeypatch):
    client = Client([Message(4)], [Message(5), Message(6)])
    consumer = consumer_with(client, monkeypatch)
    assert offsets(consumer.read(10, 1.0)) == [4, 5, 6]
    consumer.commit()
    consumer.commit()
    assert client.committed == [[("t", 0, 7)]]


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID])
def test_a_commit_by_a_member_that_was_cut_off_passes_for_another_one_reads_it_again(code, monkeypatch):
    consumer = consumer_with(Client([Message(4)], failure=code), monkeypatch)
    consumer.read(1, 1.0)
    consumer.commit()


def test_a_commit_that_did_not_reach_the_broker_is_an_error(monkeypatch):
    consumer = consumer_with(Client([Message(4)], failure=KafkaError._TRANSPORT), monkeypatch)
    consumer.read(1, 1.0)
    with pytest.raises(TransientError, match="_TRANSPORT"):
        consumer.commit()


def test_what_was_given_to_another_member_is_not_committed(monkeypatch):
    client = Client([Message(4)])
    consumer = consumer_with(client, monkeypatch)
    consumer.read(1, 1.0)
    client.mine = []
    consumer.commit()
    assert client.committed == []


def test_an_error_beside_messages_does_not_lose_them(monkeypatch):
    refused = Message(error=KafkaError.TOPIC_AUTHORIZATION_FAILED)
    consumer = consumer_with(Client([refused, Message(4)], [Message(5), refused]), monkeypatch)
    assert offsets(consumer.read(2, 1.0)) == [4, 5]
    consumer = consumer_with(Client([Message(error=KafkaError.UNKNOWN_TOPIC_OR_PART)], [refused]), monkeypatch)
    with pytest.raises(ConfigError, match="TOPIC_AUTHORIZATION_FAILED"):
        consumer.read(2, 1.0)


def test_a_reader_waits_for_its_partitions_and_then_looks_at_them(monkeypatch):
    client = Client([Message(4)], looks=3)
    assert offsets(consumer_with(client, monkeypatch).read(10, 0.01)) == [4]
    assert client.looks == 3


def test_a_reader_that_has_its_partitions_and_nothing_in_them_ends(monkeypatch):
    client = Client()
    assert consumer_with(client, monkeypatch).read(10, 0.01) == []
    assert client.looks == 1


def test_a_reader_does_not_wait_for_partitions_of_a_topic_that_is_not_there(monkeypatch):
    client = Client(looks=9, trouble=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert consumer_with(client, monkeypatch).read(10, 0.01) == []
    assert client.looks == 1
