"""Starts the demo API.

python -m include.demo_api --port 8090 --latency 0.05 --fault '{"fault": "soft", "times": 1}'
"""

import argparse
import json

from aiohttp import web

from include.demo_api.faults import Fault
from include.demo_api.server import DemoApi


def main() -> None:
    """Serve until told to stop; on loopback, unless told otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m include.demo_api", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="JSON",
        type=lambda text: Fault(**json.loads(text)),
        help="a misbehaviour, may be repeated; fields as in include/demo_api/faults.py",
    )
    chosen = parser.parse_args()
    api = DemoApi(latency=chosen.latency)
    api.faults = chosen.fault
    web.run_app(api.app(), host=chosen.host, port=chosen.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
