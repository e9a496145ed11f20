"""Whether this host's worker of a parser takes tasks: `python -m include.parser_tasks.parsers.health rss`.

It does so while the broker counts it to its group; before there is a topic, which the first task makes, there is none.
"""

import argparse
import os
import socket
import sys

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from include.common.errors import HeadraceError, TransientError
from include.parser_tasks.parsers.line import Place, given, place

SECONDS = 10.0


def check(where: Place, host: str) -> None:
    """Raise `TransientError` unless a worker of `host` is in the group, or the topic is not there yet."""
    client = AdminClient({"log_level": 0, **where.options, "bootstrap.servers": where.bootstrap})
    try:
        if where.topic not in client.list_topics(timeout=SECONDS).topics:
            return
        group = client.describe_consumer_groups([where.group], request_timeout=SECONDS)[where.group].result()
    except KafkaException as error:
        raise TransientError(
            f"Kafka says nothing of topic `{where.topic}` and group `{where.group}`: {error.args[0].name()}"
        ) from error
    if not any(member.client_id == host for member in group.members):
        raise TransientError(f"no worker of {host} is in the group `{where.group}`")


def main() -> None:
    """Check the worker of the parser that the command names; the exit status is 0 only where it works."""
    reader = argparse.ArgumentParser(prog="python -m include.parser_tasks.parsers.health", description=__doc__)
    reader.add_argument("parser")
    try:
        check(place(reader.parse_args().parser, given(os.environ)), socket.gethostname())
    except HeadraceError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
