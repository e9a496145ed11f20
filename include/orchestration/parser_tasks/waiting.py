"""Waiting for status messages in the triggerer, which takes no worker's slot."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.common.errors import HeadraceError, TransientError
from include.orchestration.parser_tasks.settings import settings_of_trigger
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.settings import CONNECTION, KafkaSettings

log = logging.getLogger(__name__)
# Seconds between two looks, and for one look.
EVERY, PATIENCE = 2.0, 10.0
# Seconds after which a wait ends without a message: the next run may have newer code.
LONGEST = 1800.0
# Seconds between two looks at the settings while they give nothing to wait for.
UNSET = 60.0
NO_BROKER = f"no Kafka broker is named (KAFKA_BOOTSTRAP_SERVERS or the connection `{CONNECTION}`)"
OFF = "KAFKA_WORKERS_ENABLED is false"


class StatusesWaiting(BaseTrigger):
    """Fires when the status topic has a message that was not read, or after `LONGEST` seconds without one."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See `BaseTrigger`; settings are read where it runs, so that none is kept in Airflow's database."""
        return f"{StatusesWaiting.__module__}.{StatusesWaiting.__name__}", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is a message. A broker that is away is waited for."""
        try:
            kafka = await self._set()
            waiting = await self._wait(kafka) if kafka else 0
        except HeadraceError as error:
            yield TriggerEvent({"error": str(error)})  # type: ignore[no-untyped-call]
            return
        yield TriggerEvent({"waiting": waiting})  # type: ignore[no-untyped-call]

    async def _set(self) -> KafkaSettings | None:
        """The settings once there is a broker whose statuses are to be read; None after `LONGEST` seconds without."""
        loop, said = asyncio.get_running_loop(), False
        ends = loop.time() + LONGEST
        while loop.time() < ends:
            found = await settings_of_trigger()
            if found.kafka.bootstrap and found.statuses_read:
                return found.kafka
            if not said:
                log.info("no statuses are read: %s", OFF if found.kafka.bootstrap else NO_BROKER)
            said = True
            await asyncio.sleep(UNSET)
        return None

    async def _wait(self, kafka: KafkaSettings) -> int:
        """How many messages wait."""
        loop, away = asyncio.get_running_loop(), ""
        ends = loop.time() + LONGEST
        admin = await asyncio.to_thread(Admin, kafka, PATIENCE)
        try:
            while loop.time() < ends:
                try:
                    found = await asyncio.to_thread(admin.lag, kafka.group, kafka.status_topic)
                    if found:
                        return found
                    away = ""
                except TransientError as error:
                    if str(error) != away:
                        log.warning("%s; waiting for it", error)
                    away = str(error)
                await asyncio.sleep(EVERY)
        finally:
            await asyncio.shield(asyncio.to_thread(admin.close))
        return 0
