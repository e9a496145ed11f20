"""The command line behind the Makefile: `python -m include.orchestration.embedded run|up|down|airflow …`."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from include.common.errors import ConfigError, HeadraceError
from include.orchestration.embedded import commands
from include.orchestration.embedded.environment import UP_PORT, Home, airflow_environment, user_environment
from include.orchestration.embedded.processes import find_running
from include.orchestration.settings import PROJECT

# What `make run` takes from the environment, beside DAG and API_URL.
VARIABLES = ("CSV", "OUTPUT", "LIMIT", "RATE", "KEY", "DRY_RUN", "RETRY_FAILED_OF", "MAX_CALLS", "DEADLINE")


def main() -> int:
    """Run one command; returns the exit status, 0 only where it did what was asked."""
    chosen = _parse(sys.argv[1:])
    home = Home(chosen.home.absolute())
    # A kill must stop what was started, as Ctrl-C does; a shell's background process has SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        match chosen.command:
            case "up":
                commands.up(home, _whole_number("PORT", chosen.port))
            case "down":
                commands.down(home)
            case "run":
                return 0 if commands.run(home, _request(chosen)) else 1
            case "migrate":
                commands.migrate(home)
            case "airflow":
                return _airflow(home, chosen.arguments)
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped by you", file=sys.stderr)
        return 130
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.orchestration.embedded")
    parser.add_argument("--home", type=Path, default=PROJECT / ".airflow", help="Airflow's home")
    added = parser.add_subparsers(dest="command", required=True)
    up = added.add_parser("up", help="start a lasting Airflow")
    up.add_argument("--port", default=str(UP_PORT))
    added.add_parser("down", help="stop what `up` started")
    added.add_parser("migrate", help="bring the databases to the newest revision, import the pools")
    run = added.add_parser("run", help=f"run a DAG once; values come from DAG, {', '.join(VARIABLES)}")
    run.add_argument("--dag", default=os.environ.get("DAG") or commands.DEFAULT_DAG)
    airflow = added.add_parser("airflow", help="Airflow's own command line on this home")
    airflow.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def _request(chosen: argparse.Namespace) -> commands.RunRequest:
    """The request in the environment, where `make` puts it: names and paths with spaces survive that way."""
    given = {name: os.environ.get(name) or None for name in VARIABLES}
    return commands.RunRequest(
        dag_id=chosen.dag,
        source=given["CSV"],
        output=given["OUTPUT"],
        api_url=user_environment().get("API_URL") or None,
        limit=_whole_number("LIMIT", given["LIMIT"]) if given["LIMIT"] else None,
        max_calls=_whole_number("MAX_CALLS", given["MAX_CALLS"]) if given["MAX_CALLS"] else None,
        deadline=given["DEADLINE"],
        retry_failed_of=given["RETRY_FAILED_OF"],
        rate=given["RATE"],
        key=given["KEY"],
        dry_run=_switch("DRY_RUN", given["DRY_RUN"]),
    )


def _whole_number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{name} is `{text}`; allowed is a whole number from 1")
    return int(text)


def _switch(name: str, text: str | None) -> bool:
    if text not in (None, "0", "1"):
        raise ConfigError(f"{name} is `{text}`; allowed is 0 or 1")
    return text == "1"


def _airflow(home: Home, arguments: list[str]) -> int:
    home.create()
    running = find_running(home)
    environment = airflow_environment(home, running.port if running else UP_PORT, None, schedule=True)
    return subprocess.run([sys.executable, "-m", "airflow", *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
