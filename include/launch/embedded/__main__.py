"""The command line behind the Makefile: `python -m include.launch.embedded run|up|down|airflow …`."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from include.common.errors import HeadraceError
from include.common.readers import whole_number
from include.launch.embedded import commands, migration
from include.launch.embedded.environment import UP_PORT, Home, airflow_environment, user_environment
from include.launch.embedded.processes import find_running
from include.launch.embedded.run import run
from include.launch.output import outlive_readers
from include.launch.run_request import DEFAULT_DAG, read_request, usage
from include.orchestration.paths import PROJECT


def main() -> int:
    """Run one command; returns the exit status, 0 only where it did what was asked."""
    outlive_readers()
    chosen = _parse(sys.argv[1:])
    home = Home(chosen.home.absolute())
    # A kill must stop what was started, as Ctrl-C does; a shell's background process has SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        match chosen.command:
            case "up":
                commands.up(home, whole_number("PORT", chosen.port))
            case "down":
                commands.down(home)
            case "run":
                return 0 if run(home, read_request(chosen.dag, user_environment(), commands.place)) else 1
            case "migrate":
                migration.migrate(home, migration.read_migration(os.environ))
            case "migration":
                migration.new_revision(os.environ.get("SYSTEM") or "common", os.environ.get("MESSAGE", ""))
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
    parser = argparse.ArgumentParser(prog="python -m include.launch.embedded")
    parser.add_argument("--home", type=Path, default=PROJECT / ".airflow", help="Airflow's home")
    added = parser.add_subparsers(dest="command", required=True)
    up = added.add_parser("up", help="start a lasting Airflow")
    up.add_argument("--port", default=str(UP_PORT))
    added.add_parser("down", help="stop what `up` started")
    added.add_parser("migrate", help="bring the databases to the newest revision, or to REVISION; DATA, SQL")
    added.add_parser("migration", help="write the revision that a system's models need; MESSAGE, SYSTEM")
    once = added.add_parser(
        "run",
        help="run a DAG once",
        description="Run a DAG once. Its parameters are variables of the environment:",
        epilog=usage() if {"-h", "--help"} & set(arguments) else None,  # it asks every system
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    once.add_argument("--dag", default=os.environ.get("DAG") or DEFAULT_DAG)
    airflow = added.add_parser("airflow", help="Airflow's own command line on this home")
    airflow.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def _airflow(home: Home, arguments: list[str]) -> int:
    home.create()
    running = find_running(home)
    environment = airflow_environment(home, running.port if running else UP_PORT, {}, schedule=True)
    return subprocess.run([sys.executable, "-m", "airflow", *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
