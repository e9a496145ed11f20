"""Runs a reference parser as a worker, by the environment.

python -m include.parser_tasks.worker rss
"""

import argparse
import json
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
from include.parser_tasks.parsers import vk, youtube
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
    given = {key: value.strip() for key, value in environment.items() if value.strip()}
    storage = place(given.get("HEADRACE_STORAGE", "data"), PROJECT, "HEADRACE_STORAGE")
    parse = reference_parser(name, given, Web(httpx.Client()), Store(storage, name))
    line = KafkaLine(
        _needed(given, "KAFKA_BOOTSTRAP_SERVERS"),
        given.get(f"{name.upper()}_PARSER_TASKS_TOPIC", f"{name}_parser_tasks"),
        given.get("KAFKA_TASK_STATUS_TOPIC", "task_statuses"),
        given.get(f"{name.upper()}_PARSERS_GROUP", f"{name}_parsers"),
        _options(given.get("KAFKA_WORKER_OPTIONS", "{}")),
    )
    return Worker(name, parse, line)


def reference_parser(name: str, given: Mapping[str, str], web: Web, store: Store) -> Parse:
    """One of `PARSERS`."""
    if name == "vk":
        return vk.Vk(web, store, _needed(given, "VK_ACCESS_TOKEN"), given.get("VK_API_URL", vk.URL))
    if name == "youtube":
        url = given.get("YOUTUBE_API_URL", youtube.URL)
        return youtube.Youtube(web, store, _needed(given, "YOUTUBE_API_KEY"), url)
    return Rss(web, store)


def _needed(given: Mapping[str, str], name: str) -> str:
    if name not in given:
        raise ConfigError(f"{name} is not set")
    return given[name]


def _options(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError("KAFKA_WORKER_OPTIONS is no JSON") from error
    if not isinstance(found, dict):
        raise ConfigError("KAFKA_WORKER_OPTIONS is no JSON object")
    return found


def _stopping(worker: Worker) -> Callable[[int, Any], None]:
    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        logging.info("stopping after the task under way")
        worker.stop()

    return stop
