"""Runs a reference parser as a worker, by the environment.

python -m include.parser_tasks.worker rss
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

import include
from include.common.errors import ConfigError
from include.common.storage import place
from include.parser_tasks.parsers import line, vk, youtube
from include.parser_tasks.parsers.line import given, needed
from include.parser_tasks.parsers.rss import Rss
from include.parser_tasks.parsers.store import Store
from include.parser_tasks.parsers.web import Web
from include.parser_tasks.worker import KafkaLine, Parse, Worker

PROJECT = Path(include.__file__).resolve().parent.parent
VARIABLES = """
environment:
  KAFKA_BOOTSTRAP_SERVERS     the brokers
  KAFKA_WORKER_OPTIONS        librdkafka's options as a JSON object, such as those of TLS and SASL
  <NAME>_PARSER_TASKS_TOPIC   the parser's topic (rss_parser_tasks, ...)
  <NAME>_PARSERS_GROUP        the consumer group (rss_parsers, ...)
  KAFKA_TASK_STATUS_TOPIC     where statuses go (task_statuses)
  HEADRACE_STORAGE            where results go (data/)
  VK_ACCESS_TOKEN, VK_API_URL, YOUTUBE_API_KEY, YOUTUBE_API_URL
"""
PARSERS = ("rss", "vk", "youtube")


def main() -> None:
    """Work until a signal; a second one ends the process as it does any other."""
    reader = argparse.ArgumentParser(
        prog="python -m include.parser_tasks.worker",
        description="Runs a reference parser as a worker.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reader.add_argument("parser", choices=PARSERS)
    name = reader.parse_args().parser
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        worker = made(name, os.environ)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopping(worker))
    worker.run()


def made(name: str, environment: Mapping[str, str]) -> Worker:
    """The worker that the environment describes; raises `ConfigError` where something is missing."""
    found = given(environment)
    storage = place(found.get("HEADRACE_STORAGE", "data"), PROJECT, "HEADRACE_STORAGE")
    parse = reference_parser(name, found, Web(httpx.Client()), Store(storage, name))
    return Worker(name, parse, KafkaLine(*line.place(name, found)))


def reference_parser(name: str, found: Mapping[str, str], web: Web, store: Store) -> Parse:
    """One of `PARSERS`."""
    if name == "vk":
        return vk.Vk(web, store, needed(found, "VK_ACCESS_TOKEN"), found.get("VK_API_URL", vk.URL))
    if name == "youtube":
        url = found.get("YOUTUBE_API_URL", youtube.URL)
        return youtube.Youtube(web, store, needed(found, "YOUTUBE_API_KEY"), url)
    return Rss(web, store)


def _stopping(worker: Worker) -> Callable[[int, Any], None]:
    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        logging.info("stopping after the task under way")
        worker.stop()

    return stop
