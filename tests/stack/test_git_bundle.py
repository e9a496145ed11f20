"""The bundle from a git repository: a run is pinned to its commit, `include/` as well as the DAGs."""

import json
import subprocess

import pytest

from tests.stack.conftest import PROJECT, wait_until
from tests.stack.runs import start, wait_for_calls

REPOSITORY = "/srv/headrace/headrace.git"
BUNDLES = [
    {
        "name": "headrace",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"repo_url": REPOSITORY, "tracking_ref": "main", "refresh_interval": 5},
    }
]


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    ended = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project as it lies here, committed in a repository of its own."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and not name.startswith(("docs/", "tests/")) and (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((PROJECT / name).read_bytes())
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "First")
    return folder


def push(stack, clone):
    """Bring the clone's main into the bare repository in the storage root, as a bundle through standard input."""
    packed = clone / ".git/packed"
    git(clone, "bundle", "create", "-q", str(packed), "main")
    script = (
        f"cat >/tmp/packed && {{ [ -d {REPOSITORY} ] || git init -q --bare -b main {REPOSITORY}; }} && "
        f"git -C {REPOSITORY} fetch -q --force /tmp/packed main:main"
    )
    stack.exec("api-server", "sh", "-c", script, stdin=packed.read_bytes())
    return git(clone, "rev-parse", "HEAD")


@pytest.fixture
def from_git(stack, clone):
    """The stack with its DAGs from the repository; afterwards it is as it was."""
    first = push(stack, clone)
    stack.environment["DAG_BUNDLES"] = json.dumps(BUNDLES)
    try:
        stack.compose("up", "--detach", "--wait")
        wait_until(lambda: version(stack) == first, "the DAG of the first commit")
        yield first
    finally:
        del stack.environment["DAG_BUNDLES"]
        stack.compose("up", "--detach", "--wait")
        wait_until(lambda: version(stack) is None, "the DAG of the image")


def version(stack):
    return (stack.api().find_dag("csv_processing") or {}).get("bundle_version", "")


def test_a_run_stays_with_its_commit_and_the_next_one_takes_the_new(stack, clone, from_git):
    stack.demo.behave(latency=0.1)
    running = start(stack, 800, "pinned")
    wait_for_calls(stack, 50)
    transforms = clone / "include/enrichment/transforms.py"
    transforms.write_text(
        transforms.read_text().replace("def flatten(", "def flatten_before(")
        + '\n\ndef flatten(frame):\n    return flatten_before(frame).assign(made_by="the second commit")\n'
    )
    dag = clone / "dags/csv_processing.py"
    dag.write_text(dag.read_text().replace('tags=["csv"]', 'tags=["csv", "second"]'))
    git(clone, "commit", "-qam", "Second")
    second = push(stack, clone)
    wait_until(lambda: version(stack) == second, "the DAG of the second commit")
    assert stack.api().run_state("csv_processing", running) == "running"
    following = start(stack, 3, "following")

    assert stack.wait_for_end("csv_processing", running) == "success"
    assert stack.wait_for_end("csv_processing", following) == "success"
    found = [stack.api().find_run("csv_processing", run_id)["bundle_version"] for run_id in (running, following)]
    assert found == [from_git, second]
    assert all("made_by" not in record for record in json.loads(stack.read("pinned.json")))
    assert [record["made_by"] for record in json.loads(stack.read("following.json"))] == ["the second commit"] * 3
