"""Kafka behind our interface: against Apache Kafka, and for what the demo needs against the demo broker as well."""

import subprocess
import sys
import threading
from contextlib import ExitStack, closing

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from include.orchestration.paths import PROJECT
from include.parser_tasks.broker import Consumer, OutgoingMessage, Producer
from include.parser_tasks.broker_admin import Admin, Backlog
from include.parser_tasks.settings import KafkaSettings

# One process has the broker; the others have something else to do.
pytestmark = pytest.mark.xdist_group("kafka")
# Seconds: longer than anything here takes on a machine that has much else to do.
LONG = 60.0


@pytest.fixture(params=["kafka", "demo_kafka"])
def settings(request):
    """Of a real Kafka and of the demo broker in turn."""
    return KafkaSettings(request.getfixturevalue(request.param), group="readers", session_ms=6000, heartbeat_ms=500)


@pytest.fixture
def real(kafka):
    """Of a real Kafka only."""
    return KafkaSettings(kafka, group="readers", session_ms=6000, heartbeat_ms=500)


@pytest.fixture
def own(kafka_broker):
    """Of the broker that a test may kill."""
    return KafkaSettings(kafka_broker.bootstrap, group="readers", session_ms=6000, heartbeat_ms=500)


def numbered(topic, numbers, key=b"k"):
    return [OutgoingMessage(number, topic, key, b"%d" % number) for number in numbers]


def read(consumer, count, commit=True):
    """So many messages, however often has to be asked for them."""
    found = []
    for _ in range(int(LONG)):
        found += consumer.read(count - len(found), 1.0)
        if len(found) == count:
            if commit:
                consumer.commit()
            return found
    raise AssertionError(f"{len(found)} of {count} messages came")


def values(messages):
    return [int(message.value) for message in messages]


def positions(sent):
    return [each.position for each in sent]


def consumer_of(settings, topic, group=""):
    return closing(Consumer(settings, topic, group))


def test_what_is_sent_is_acknowledged_and_read_with_key_headers_and_time_in_the_order_of_its_key(settings, topic):
    Admin(settings).ensure_topics([topic])
    messages = [
        OutgoingMessage(f"tag {number}", topic, b"key %d" % (number % 5), b"%d" % number, {"reason": b"\x00why"})
        for number in range(3000)
    ]
    sent = Producer(settings).send(messages, LONG)
    assert [each.tag for each in sent] == [message.tag for message in messages]
    assert {each.error for each in sent} == {""}
    with consumer_of(settings, topic) as consumer:
        found = read(consumer, 3000)
    at = {message.position: message for message in found}
    for message, each in zip(messages, sent, strict=True):
        came = at[each.position]
        assert (came.key, came.value, came.headers) == (message.key, message.value, message.headers)
    for key in range(5):
        assert values(each for each in found if each.key == b"key %d" % key) == list(range(key, 3000, 5))


def test_what_was_not_committed_is_read_again_and_what_was_is_not(real, topic):
    Admin(real).ensure_topics([topic])
    Producer(real).send(numbered(topic, range(10)), LONG)
    with consumer_of(real, topic) as consumer:
        assert values(read(consumer, 4)) == [0, 1, 2, 3]
        assert values(read(consumer, 3, commit=False)) == [4, 5, 6]
    with consumer_of(real, topic) as consumer:
        assert values(read(consumer, 6)) == [4, 5, 6, 7, 8, 9]
        assert consumer.read(10, 0.2) == []
        consumer.commit()  # of nothing
    assert Admin(real).backlog("readers", topic) == Backlog(0, None)


def test_a_bulk_has_at_most_as_many_messages_as_asked_for_and_does_not_wait_for_more(real, topic):
    Admin(real).ensure_topics([topic])
    Producer(real).send(numbered(topic, range(25)), LONG)
    with consumer_of(real, topic) as consumer:
        first = read(consumer, 1)
        assert [len(consumer.read(10, LONG)) for _ in range(3)] == [10, 10, 4]
    assert values(first) == [0]


def test_the_backlog_of_a_group_is_what_it_has_not_committed_and_as_old_as_its_oldest(settings, topic):
    admin = Admin(settings)
    assert admin.backlog("readers", topic) == Backlog(0, None)  # no such topic
    admin.ensure_topics([topic])
    assert admin.backlog("readers", topic) == Backlog(0, None)
    producer = Producer(settings)
    for number in range(6):  # a key each: spread over the partitions, each later than the one before
        producer.send(numbered(topic, [number], key=b"%d" % number), LONG)
    with consumer_of(settings, topic) as consumer:
        found = {int(message.value): message for message in read(consumer, 6, commit=False)}
    assert admin.backlog("readers", topic) == Backlog(6, min(message.at for message in found.values()))
    with consumer_of(settings, topic, group="others") as consumer:
        seen = read(consumer, 2)
        unread = [message for message in found.values() if message.position not in {each.position for each in seen}]
        assert admin.backlog("others", topic) == Backlog(4, min(message.at for message in unread))
    assert admin.backlog("readers", topic).lag == 6
    assert admin.groups_of(topic, known=["others", "readers"]) == {"others": 4, "readers": 6}
    admin.close()


def test_groups_that_nobody_knew_of_are_found_where_the_broker_lists_them(real, topic):
    admin = Admin(real)
    admin.ensure_topics([topic])
    Producer(real).send(numbered(topic, range(3)), LONG)
    name = f"unheard-of-{topic}"
    with consumer_of(real, topic, group=name) as consumer:
        read(consumer, 1)
    assert admin.groups_of(topic) == {name: 2}


def test_a_topic_is_made_once_with_as_many_partitions_as_it_shall_have(real, topic):
    names = [topic, topic, f"{topic}.dlq"]
    for partitions in (5, 2):
        Admin(real).ensure_topics(names, partitions)
    Admin(real).ensure_topics([*names, f"{topic}-default"])
    found = AdminClient({"bootstrap.servers": real.bootstrap}).list_topics(timeout=LONG).topics
    expected = {topic: 5, f"{topic}.dlq": 5, f"{topic}-default": 3}
    assert {name: len(found[name].partitions) for name in expected} == expected


def test_a_message_for_a_topic_that_is_not_there_says_so_and_the_others_are_sent(real, topic):
    Admin(real).ensure_topics([topic])
    sent = Producer(real).send([*numbered("nowhere", [1]), *numbered(topic, [2])], LONG)
    assert sent[0] == (1, None, "there is no topic `nowhere`", False)
    assert sent[1].position


def test_who_reads_a_topic_that_is_not_there_yet_reads_it_once_it_is(real, topic):
    with consumer_of(real, topic) as consumer:
        assert consumer.read(10, 0.2) == []
        Admin(real).ensure_topics([topic])
        Producer(real).send(numbered(topic, [1, 2]), LONG)
        assert values(read(consumer, 2)) == [1, 2]


def test_a_message_above_the_limit_is_refused_and_one_of_a_megabyte_below_it_arrives(real, topic):
    Admin(real).ensure_topics([topic])
    large, largest = b"x" * 1_048_577, b"x" * 1_048_000
    sent = Producer(real).send([OutgoingMessage(len(value), topic, b"k", value) for value in (large, largest)], LONG)
    assert sent[0].position is None
    assert sent[0].is_final
    assert sent[0].error == (f"the message has 1048577 bytes; `{topic}` and KAFKA_MAX_REQUEST_SIZE allow fewer")
    with consumer_of(real, topic) as consumer:
        assert [message.value == largest for message in read(consumer, 1)] == [True]


def test_a_message_of_five_megabytes_from_somebody_else_is_read_as_any_other(real, topic):
    admin = Admin(real)
    admin.ensure_topics([topic])
    set_largest(real, topic, 6_000_000)
    somebody = Producer(KafkaSettings(real.bootstrap, max_request_size=6_000_000))
    sent = somebody.send([OutgoingMessage(1, topic, b"k", b"x" * 5_000_000), *numbered(topic, [2])], LONG)
    assert all(positions(sent)), sent
    with consumer_of(real, topic) as consumer:
        assert [len(message.value) for message in read(consumer, 2)] == [5_000_000, 1]


def set_largest(settings, topic, size):
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": settings.bootstrap})
    (waiting,) = client.incremental_alter_configs([wanted]).values()
    waiting.result()


FORKED = """
import os, sys
from include.parser_tasks.broker import OutgoingMessage, Producer
from include.parser_tasks.settings import KafkaSettings

child = os.fork()
sent = Producer(KafkaSettings(sys.argv[1])).send([OutgoingMessage(1, sys.argv[2], b"k", b"v")], 60.0)
if not child:
    os._exit(0 if sent[0].position else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not sent[0].position)
"""


def test_a_process_that_forks_after_the_import_sends_on_both_sides(real, topic):
    Admin(real).ensure_topics([topic])
    ended = subprocess.run(
        [sys.executable, "-c", FORKED, real.bootstrap, topic], cwd=PROJECT, timeout=LONG, check=False
    )
    assert ended.returncode == 0
    assert Admin(real).backlog("readers", topic).lag == 2


def test_a_second_member_takes_over_its_share_and_nothing_is_lost(settings, topic):
    Admin(settings).ensure_topics([topic])
    producer = Producer(settings)

    def send(numbers):
        return producer.send([OutgoingMessage(n, topic, b"%d" % n, b"%d" % n) for n in numbers], LONG)

    send(range(100))
    seen = {"first": [], "second": []}
    with ExitStack() as stack:
        first = stack.enter_context(consumer_of(settings, topic))
        seen["first"] += read(first, 50)
        second = stack.enter_context(consumer_of(settings, topic))
        joining = threading.Thread(target=lambda: seen["second"].extend(second.read(1000, 0.5)))
        joining.start()
        while joining.is_alive():  # who has the partitions gives some away when it reads
            seen["first"] += first.read(1000, 0.1)
            first.commit()
        sent = 100
        for _ in range(int(LONG) * 2):
            for name, consumer in (("first", first), ("second", second)):
                seen[name] += consumer.read(1000, 0.5)
                consumer.commit()
            if seen["second"] and len(set(values(seen["first"] + seen["second"]))) == sent:
                break
            if not seen["second"]:
                send(range(sent, sent := sent + 20))
    assert set(values(seen["first"] + seen["second"])) == set(range(sent))
    assert seen["second"]
    assert Admin(settings).backlog("readers", topic).lag == 0


def test_a_broker_killed_while_messages_are_sent_leaves_nothing_told_as_sent_that_is_not_there(
    own, topic, kafka_broker
):
    Admin(own, LONG).ensure_topics([topic])
    producer = Producer(own)
    producer.send(numbered(topic, [0]), LONG)  # connected
    told = []
    under_way = threading.Event()

    def messages():
        for number in range(1, 50_000):
            if number == 10_000:
                under_way.set()
            yield OutgoingMessage(number, topic, b"%d" % number, b"%d" % number)

    sending = threading.Thread(target=lambda: told.extend(producer.send(messages(), 5.0)))
    sending.start()
    assert under_way.wait(LONG)
    kafka_broker.kill()
    try:
        sending.join(LONG)
        lost = [each for each in told if not each.position]
        assert len(told) == 49_999
        assert lost
        assert {each.error for each in lost} == {f"not acknowledged by Kafka at `{own.bootstrap}`"}
    finally:
        kafka_broker.start()
    # The same client goes on; what was not told as sent is sent again, as an outbox does it.
    again = producer.send(messages_of(topic, lost), LONG)
    assert all(positions(again)), {each.error for each in again}
    with consumer_of(own, topic) as consumer:
        there = set()
        while Admin(own, LONG).backlog("readers", topic).lag:
            there |= set(values(consumer.read(10_000, 5.0)))
            consumer.commit()
    assert there == set(range(50_000))
    claimed = {each.tag for each in told if each.position}
    assert claimed <= there


def messages_of(topic, sent):
    return [OutgoingMessage(each.tag, topic, b"%d" % each.tag, b"%d" % each.tag) for each in sent]
