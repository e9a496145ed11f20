"""Starts what tests reach by an address, for as long as somebody works on them: `make test-services`."""

import signal
import sys

import pytest

from tests.databases import running_postgres
from tests.kafka import running_kafka


def main() -> int:
    """Start, print what to export, wait for Ctrl-C; returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running_postgres() as postgres, running_kafka() as kafka:
            print(f"export HEADRACE_TEST_POSTGRES='{postgres}'")
            print(f"export HEADRACE_TEST_KAFKA='{kafka.bootstrap}'", flush=True)
            print("Ctrl-C ends them", file=sys.stderr)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except pytest.fail.Exception as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
