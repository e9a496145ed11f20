"""`make trigger`: starts a run of the stack from a shell of its host, in the words of `make run`.

Runs in the api-server's container. A CSV comes by standard input, for the containers do not see the host's files; it is
kept in the storage root under its content's SHA-256, so that a second trigger of the same file finds it there.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import PurePath
from typing import BinaryIO

from include.common.errors import BadInputError, HeadraceError
from include.common.files import replacing
from include.common.readers import switch
from include.enrichment.report import read_report
from include.enrichment.run import RunFolder
from include.launch.run_request import DEFAULT_DAG, RunRequest, read_request
from include.orchestration import paths
from include.orchestration.rest import AirflowApi

SERVER = "http://127.0.0.1:8080"
POLL_SECONDS = 1.0
PART = 1024 * 1024  # bytes
# Before the names of what was given: the container has an API_URL of its own.
GIVEN = "TRIGGER_"


def place(name: str, text: str) -> str:
    """Where a run finds a file: a URL or an output as it is given, a CSV of the host where `keep` puts it."""
    return keep(text, sys.stdin.buffer) if name == "CSV" and "://" not in text else text


def keep(name: str, content: BinaryIO) -> str:
    """Keep a CSV in the storage root; returns its place there. `BadInputError` for an empty one."""
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as copy:
        while part := content.read(PART):
            digest.update(part)
            copy.write(part)
        if not copy.tell():
            raise BadInputError(f"CSV is `{name}`, which is empty")
        copy.seek(0)
        kept = f"inputs/{digest.hexdigest()[:16]}/{PurePath(name).name}"
        with replacing(paths.storage() / kept) as stream:
            shutil.copyfileobj(copy, stream, PART)
    return kept


def follow(api: AirflowApi, request: RunRequest, run_id: str) -> bool:
    """Wait for the run's end and print its report; whether it succeeded."""
    while (state := api.run_state(request.dag_id, run_id)) not in ("success", "failed"):
        time.sleep(POLL_SECONDS)
    report = read_report(RunFolder(paths.storage(), request.dag_id, run_id))
    print(report.as_text() if report else f"{request.dag_id}: {state}, and it left no report; see the tasks' logs")
    return state == "success"


def main() -> int:
    """Trigger, and with WAIT=1 follow the run; the exit status is 0 only where that succeeded."""
    given = {name.removeprefix(GIVEN): text for name, text in os.environ.items() if name.startswith(GIVEN)}
    try:
        dag_id = given.get("DAG") or DEFAULT_DAG
        wait = switch("WAIT", given.get("WAIT"))
        request = read_request(dag_id, given, place)
        api = AirflowApi(SERVER, "admin", os.environ["ADMIN_PASSWORD"])
        run_id = api.trigger(dag_id, request.given)
        web = os.environ["AIRFLOW__API__BASE_URL"]
        print(f"run {run_id} of {dag_id}: {web}/dags/{dag_id}/runs/{run_id}", flush=True)
        if (api.find_dag(dag_id) or {}).get("is_paused"):
            print(f"{dag_id} is paused: the run waits until it is unpaused", flush=True)
        return 0 if not wait or follow(api, request, run_id) else 1
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
