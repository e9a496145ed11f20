"""`make trigger`: starts a run of the stack from a shell of its host, in the words of `make run`.

Runs in the api-server's container. A file that the run reads comes by standard input, for the containers do not see
those of the host; it is kept in the storage root under its content's SHA-256, so that a second trigger of the same file
finds it there.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import PurePath
from typing import BinaryIO

from include.common.errors import BadInputError, HeadraceError
from include.common.files import replacing
from include.common.parameters import Parameter
from include.common.readers import switch
from include.launch.follow import TIMEOUT, Follower
from include.launch.output import outlive_readers
from include.launch.run_request import DEFAULT_DAG, read_request
from include.orchestration import paths
from include.orchestration.rest import AirflowApi
from include.orchestration.runner import Again

SERVER = "http://127.0.0.1:8080"
PART = 1024 * 1024  # bytes
# The exit status of a run that did not succeed, which docker's own are told from.
FAILED = 3
# Before the names of what was given: the container has an API_URL of its own.
GIVEN = "TRIGGER_"


def place(parameter: Parameter, text: str) -> str:
    """Where a run finds a file: a URL or an output as it is given, one of the host's where `keep` puts it."""
    return keep(parameter, text, sys.stdin.buffer) if parameter.kind.sent and "://" not in text else text


def as_given(parameter: Parameter, text: str) -> str:
    """For a run that was started before: nothing is sent along again."""
    return text


def keep(parameter: Parameter, name: str, content: BinaryIO) -> str:
    """Keep a file in the storage root; returns its place there. `BadInputError` for an empty one."""
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as copy:
        while part := content.read(PART):
            digest.update(part)
            copy.write(part)
        if not copy.tell():
            raise BadInputError(f"{parameter.variable} is `{name}`, which is empty")
        copy.seek(0)
        kept = f"inputs/{digest.hexdigest()[:16]}/{PurePath(name).name}"
        with replacing(paths.storage() / kept) as stream:
            shutil.copyfileobj(copy, stream, PART)
    return kept


def main() -> int:
    """Trigger, and with WAIT=1 follow the run; the exit status is `FAILED` where it did not succeed."""
    outlive_readers()
    given = {name.removeprefix(GIVEN): text for name, text in os.environ.items() if name.startswith(GIVEN)}
    try:
        wait = switch("WAIT", given.get("WAIT"))
        return 0 if start_and_follow(given, wait) else FAILED
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def start_and_follow(given: Mapping[str, str], wait: bool) -> bool:
    """Start the run that was asked for, unless it was before this container was; whether it succeeded, so far."""
    dag_id, run_id = given.get("DAG") or DEFAULT_DAG, given.get("RUN_ID") or None
    password = os.environ["ADMIN_PASSWORD"]
    started = bool(run_id and given.get("STARTED"))
    request = read_request(dag_id, given, as_given if started else place)
    if not started:
        api = AirflowApi(SERVER, "admin", password)
        run_id = api.trigger(dag_id, request.given, run_id)
        web = os.environ["AIRFLOW__API__BASE_URL"]
        print(f"run {run_id} of {dag_id}: {web}/dags/{dag_id}/runs/{run_id}", flush=True)
        if (api.find_dag(dag_id) or {}).get("is_paused"):
            print(f"{dag_id} is paused: the run waits until it is unpaused", flush=True)
    if not wait or run_id is None:
        return True
    api = AirflowApi(SERVER, "admin", password, TIMEOUT)
    follower = Follower(lambda: api, request.run(paths.storage(), run_id), sys.stdout)
    state = follower.follow()
    follower.summarize(state, Again("make trigger", {"WAIT": "1"}))
    return state == "success"


if __name__ == "__main__":
    sys.exit(main())
