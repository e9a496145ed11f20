"""Starts the demo broker: librdkafka's mock cluster, which speaks Kafka's protocol and keeps everything in memory.

python -m include.demo_broker --port 9092

It makes a topic, of four partitions, when it is first asked for it, and keeps the last 5 MB of each partition.
"""

import argparse
import asyncio
import contextlib
from functools import partial

from confluent_kafka import Producer


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser(
        prog="python -m include.demo_broker", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--port", type=int, default=9092)
    port = parser.parse_args().port
    cluster = Producer({"test.mock.num.brokers": 1})  # which lives as long as this client
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    asyncio.run(_serve(port, broker.host, broker.port))


async def _serve(port: int, host: str, broker_port: int) -> None:
    """Be where clients ask first: the cluster chooses its own port, and tells them that one."""
    server = await asyncio.start_server(partial(_relay, host, broker_port), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def _relay(host: str, port: int, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    """Hand on what either side says, until one of them has done."""
    with contextlib.suppress(OSError):
        from_broker, to_broker = await asyncio.open_connection(host, port)
        ways = [
            asyncio.ensure_future(_pass_on(from_client, to_broker)),
            asyncio.ensure_future(_pass_on(from_broker, to_client)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        to_broker.close()
    to_client.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while said := await source.read(1 << 16):
            target.write(said)
            await target.drain()


if __name__ == "__main__":
    main()
