"""The tasks of the parser tasks' DAGs: thin edges of `include/parser_tasks`."""

import logging
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import sqlalchemy
from airflow.sdk import BaseOperator, Context, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import StartTriggerArgs

from include.common.database import connect
from include.common.errors import ConfigError, TransientError
from include.orchestration import environment
from include.orchestration.failures import reported
from include.orchestration.links import page_link
from include.orchestration.parser_tasks.settings import settings
from include.orchestration.telegram import HeadraceTelegramOperator
from include.parser_tasks import creation, digests, expiry, inbox, outbox
from include.parser_tasks.broker import Consumer, Producer
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.settings import KafkaSettings

log = logging.getLogger(__name__)
ERRORS = "/parser-manager/errors"
# Seconds: that one run reads statuses, and that the broker is waited for when it is asked something.
LONGEST, PATIENCE = 300.0, 10.0


@task
@reported
def create_tasks() -> dict[str, int]:
    """Create what is due; returns how many tasks of each parser."""
    found = settings()
    made = creation.create(_engine(), found.kafka.topics, found.backlog_limit, time.time)
    for each in made:
        log.info("%s", _said(each, found.backlog_limit))
    return {each.parser: each.tasks for each in made}


def _said(made: creation.Created, limit: int) -> str:
    said = f"{made.parser}: {made.tasks} tasks created"
    if made.still_open:
        said += f"; {made.still_open} stay due, for the last task of their source is open"
    if made.over_backlog:
        said += f"; {made.over_backlog} stay due, for {made.backlog} tasks wait for a worker (at most {limit} may)"
    return said


@task
@reported
def publish() -> int:
    """Send what is created; returns how many tasks."""
    kafka = settings().kafka
    result = outbox.publish(_engine(), lambda: _sender(kafka), kafka.topics, time.time)
    log.info("%d tasks sent%s", result.sent, "; somebody else sends them now" * result.elsewhere)
    if result.too_large:
        log.warning("%d tasks are too large for a message (KAFKA_MAX_REQUEST_SIZE) and have failed", result.too_large)
    return result.sent


@task
@reported
def cancel_expired() -> int:
    """Cancel what is past its deadline; returns how many tasks."""
    if not expiry.open_past(_engine(), time.time()):
        return 0
    now = time.time()
    total = expiry.cancel_expired(_engine(), expiry.cutoff(now, *_unread(settings().kafka)), now)
    log.info("%d tasks were late and are cancelled", total)
    return total


def _unread(kafka: KafkaSettings) -> tuple[float | None, bool]:
    """When the oldest status was sent that is not read yet, and whether that is known."""
    if not kafka.bootstrap:
        return None, True
    try:
        admin = Admin(kafka, PATIENCE)
        try:
            return admin.backlog(kafka.group, kafka.status_topic).oldest_unread_at, True
        finally:
            admin.close()
    except TransientError as error:
        log.warning("%s; tasks have %d s more", error, expiry.PATIENCE)
        return None, False


class TellOperator(HeadraceTelegramOperator):
    """Tells Telegram of groups that ended with failures or late tasks, and of sources that fail or are well again."""

    def execute(self, context: Context) -> None:
        """Send what nobody was told yet; skipped where there is nothing, or nobody to tell."""
        reported(self._tell)(context)

    def _tell(self, context: Context) -> None:
        unsent: list[AirflowSkipException] = []

        def send(text: str) -> None:
            self.log.info("%s", text)
            self.text = text
            try:
                super(TellOperator, self).execute(context)
            except AirflowSkipException as nobody:  # counts as told: or all of it would come once there is somebody
                unsent.append(nobody)

        told = digests.tell(_engine(), send, time.time, page_link(ERRORS))
        if unsent:
            raise unsent[0]
        if not told:
            raise AirflowSkipException("there is nothing to tell")


class ReadStatuses(BaseOperator):
    """Waits in the triggerer for status messages, then applies them in a worker until there are no more."""

    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="include.orchestration.parser_tasks.waiting.StatusesWaiting",
        next_method="read",
        timeout=timedelta(hours=1),
    )

    def execute(self, context: Context) -> dict[str, int]:
        """For `dags test` and the like, which know no triggerer: read what is there."""
        return self.read(context, {"waiting": 1})

    def read(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """What came of the messages."""
        found: dict[str, int] = reported(self._read)(event)
        return found

    def _read(self, event: dict[str, Any]) -> dict[str, int]:
        if error := event.get("error"):
            raise ConfigError(str(error))
        found = settings()
        if not event["waiting"] or not found.statuses_read:
            return {}
        ends = time.monotonic() + LONGEST
        consumer, producer = Consumer(found.kafka, found.kafka.status_topic), Producer(found.kafka)
        try:
            result = inbox.drain(
                _engine(), consumer, producer, found.kafka, time.time, go_on=lambda: time.monotonic() < ends
            )
        finally:
            consumer.close()
            producer.close()
        counts = asdict(result)
        self.log.info("statuses: %s", counts)
        return counts


def _engine() -> sqlalchemy.Engine:
    return connect(environment.database_url())


def _sender(kafka: KafkaSettings) -> Producer:
    """A producer, with the topics made that are not there."""
    admin = Admin(kafka, PATIENCE)
    try:
        admin.ensure_topics([*kafka.topics.values(), kafka.status_topic, kafka.dead_letter_topic])
    finally:
        admin.close()
    return Producer(kafka)
