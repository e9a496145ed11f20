"""Starts the demo sources.

python -m include.demo_sources --port 8091 --every 20 --slow 120
"""

import argparse

from aiohttp import web

from include.demo_sources.server import DemoSources


def main() -> None:
    """Serve until told to stop; on loopback, unless told otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m include.demo_sources", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--every", type=float, default=20.0, metavar="SECONDS", help="from one new item to the next")
    parser.add_argument("--slow", type=float, default=120.0, metavar="SECONDS", help="before /feeds/slow.xml answers")
    chosen = parser.parse_args()
    app = DemoSources(every=chosen.every, slow=chosen.slow).app()
    web.run_app(app, host=chosen.host, port=chosen.port, print=None, access_log=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
