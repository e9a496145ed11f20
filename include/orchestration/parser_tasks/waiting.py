"""Waiting for status messages in the triggerer, which takes no worker's slot."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.common.errors import HeadraceError, TransientError
from include.orchestration.parser_tasks.settings import settings_of_trigger
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.settings import CONNECTION, KafkaSettings, Settings

log = logging.getLogger(__name__)
# Seconds between two looks, and for one look; looks after which the settings are read again.
EVERY, PATIENCE, LOOKS = 2.0, 10.0, 30
# Seconds until the settings are read again where they give nothing to wait for.
PAUSE = 60.0
# Seconds: until a wait ends without a message, for the next run may have newer code, and until what only a person can
# put right fails the run. It would fail the next one at once.
LONGEST, FAILS_AFTER = 1800.0, 300.0


class StatusesWaiting(BaseTrigger):
    """Fires when the status topic has a message that was not read, or after `LONGEST` seconds without one."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See `BaseTrigger`; settings are read where it runs, so that none is kept in Airflow's database."""
        return f"{StatusesWaiting.__module__}.{StatusesWaiting.__name__}", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is a message. A broker that is away is waited for."""
        yield TriggerEvent(await _wait())  # type: ignore[no-untyped-call]


async def _wait() -> dict[str, Any]:
    """How many messages wait, or the error that a person has to put right."""
    clock, said = asyncio.get_running_loop().time, ""
    begun = clock()
    while clock() - begun < LONGEST:
        try:
            found = await settings_of_trigger()
            why_not = _why_nothing_is_read(found)
            if not why_not and (count := await _look_for_messages(found.kafka)):
                return {"waiting": count}
        except HeadraceError as error:
            why_not = str(error)
            if clock() - begun >= FAILS_AFTER:
                return {"error": why_not}
        if why_not:
            if why_not != said:
                log.warning("no statuses are read: %s", why_not)
            await asyncio.sleep(PAUSE)
        said = why_not
    return {"waiting": 0}


def _why_nothing_is_read(found: Settings) -> str:
    if not found.kafka.bootstrap:
        return f"no Kafka broker is named (KAFKA_BOOTSTRAP_SERVERS or the connection `{CONNECTION}`)"
    return "" if found.statuses_read else "KAFKA_WORKERS_ENABLED is false"


async def _look_for_messages(kafka: KafkaSettings) -> int:
    """How many messages wait at these brokers; those that are away are waited for."""
    trouble = ""
    admin = await asyncio.to_thread(Admin, kafka, PATIENCE)
    try:
        for _ in range(LOOKS):
            try:
                if found := await asyncio.to_thread(admin.lag, kafka.group, kafka.status_topic):
                    return found
                trouble = ""
            except TransientError as error:
                if str(error) != trouble:
                    log.warning("%s; waiting for it", error)
                trouble = str(error)
            await asyncio.sleep(EVERY)
    finally:
        await asyncio.shield(asyncio.to_thread(admin.close))
    return 0
