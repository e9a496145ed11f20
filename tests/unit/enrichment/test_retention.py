"""Which runs' folders are kept."""

import os

import pytest

from include.common.storage import listed
from include.enrichment import retention
from include.enrichment.models import Counts
from include.enrichment.results import Manifest, Tally
from include.enrichment.retention import prune
from include.enrichment.run import run_folders

pytest_plugins = ["tests.s3"]


class Busy:
    """Says which runs are in progress, and remembers what it was asked."""

    def __init__(self, *run_ids):
        self.run_ids = set(run_ids)
        self.asked = []

    def __call__(self, run_ids):
        self.asked.append(run_ids)
        return self.run_ids & set(run_ids)


class Runs:
    """A pipeline's runs, one a second."""

    def __init__(self, planning):
        self.planning = planning
        self.count = 0

    def begin(self, run_id):
        self.count += 1
        self.planning.folder = self.planning.run_folder(run_id)
        self.planning.plan("id\n1\n")
        os.utime(self.planning.folder.mark, (self.count, self.count))

    def publish(self, run_id, output="output.json", state="success", partial=False):
        """A run that came to its end, and where it published."""
        self.begin(run_id)
        made = self.planning.made
        made = type(made)(**{**vars(made), "output": f"/data/{output}"})
        counts = Tally(Counts(1, 1, 0, 0), [])
        Manifest(run_id, state, 1.0, counts, made, 1, [], self.planning.pipeline(), {}, partial=partial).write(
            self.planning.folder
        )

    def prune(self, keep, busy=None):
        return prune(self.planning.storage, "csv_processing", keep, busy or Busy(), "/data/output.json")

    def left(self):
        return [folder.run_id for folder in run_folders(self.planning.storage, "csv_processing")]


@pytest.fixture
def runs(planning):
    return Runs(planning)


def test_the_folders_of_the_last_runs_are_kept(runs):
    for number in range(5):
        runs.begin(f"run {number}")
    assert runs.prune(keep=2) == ["run 2", "run 1", "run 0"]
    assert runs.left() == ["run 4", "run 3"]


def test_the_last_runs_are_those_that_began_last_whatever_their_names(runs):
    for run_id in ("z", "a", "m"):
        runs.begin(run_id)
    runs.prune(keep=1)
    assert runs.left() == ["m"]


@pytest.mark.parametrize("keep", [3, 4, 100])
def test_as_many_runs_as_are_kept_are_no_reason_to_ask_anybody(runs, keep):
    for number in range(3):
        runs.begin(f"run {number}")
    busy = Busy()
    assert runs.prune(keep, busy) == []
    assert (busy.asked, len(runs.left())) == ([], 3)


def test_a_pipeline_without_runs_has_nothing_to_remove(runs):
    assert runs.prune(keep=1) == []


def test_a_run_in_progress_is_kept_however_old(runs):
    for number in range(4):
        runs.begin(f"run {number}")
    assert runs.prune(keep=1, busy=Busy("run 0")) == ["run 2", "run 1"]
    assert runs.left() == ["run 3", "run 0"]


def test_only_old_runs_are_asked_for_and_all_at_once(runs):
    for number in range(4):
        runs.begin(f"run {number}")
    busy = Busy()
    runs.prune(2, busy)
    assert busy.asked == [["run 1", "run 0"]]


def test_the_run_that_an_output_came_from_is_kept_until_another_replaces_it(runs):
    runs.publish("good")
    for number in range(3):
        runs.publish(f"bad {number}", state="failed")
    assert runs.prune(keep=1) == ["bad 1", "bad 0"]
    assert runs.left() == ["bad 2", "good"]
    runs.publish("good again")
    assert runs.prune(keep=1) == ["bad 2", "good"]
    assert runs.left() == ["good again"]


def test_of_two_old_runs_that_published_the_same_output_the_newest_is_kept(runs):
    for run_id in ("first", "second"):
        runs.publish(run_id)
    runs.begin("third")
    assert runs.prune(keep=1) == ["first"]


def test_an_output_of_another_name_keeps_no_folder_for_each_run_may_have_one(runs):
    for number in range(4):
        runs.publish(f"run {number}", output=f"prices-{number}.json")
    assert runs.prune(keep=1) == ["run 2", "run 1", "run 0"]


def test_a_part_does_not_stand_for_the_whole_output(runs):
    runs.publish("whole")
    runs.publish("part", partial=True)
    runs.begin("last")
    assert runs.prune(keep=1) == ["part"]
    assert runs.left() == ["last", "whole"]


def test_each_manifest_is_read_once_at_most(runs, monkeypatch):
    for number in range(30):
        runs.publish(f"run {number}", output=f"prices-{number}.json")
    read = []
    monkeypatch.setattr(retention, "read_manifest", lambda folder: read.append(folder.run_id))
    assert len(runs.prune(keep=7)) == 23
    assert len(read) == len(set(read)) == 30


def test_a_run_that_failed_holds_no_output(runs):
    runs.publish("bad", state="failed")
    runs.begin("last")
    assert runs.prune(keep=1) == ["bad"]


def test_runs_of_other_pipelines_are_left_alone(runs, planning):
    other = type(planning.folder)(planning.storage, "symbol_processing", "old")
    other.create()
    for number in range(3):
        runs.begin(f"run {number}")
    runs.prune(keep=1)
    assert other.mark.exists()


def test_a_folder_that_is_no_run_is_left_alone(runs, planning):
    stray = planning.storage / "runs" / "csv_processing" / "notes"
    stray.mkdir(parents=True)
    for number in range(3):
        runs.begin(f"run {number}")
    runs.prune(keep=1)
    assert stray.is_dir()


def test_runs_in_a_bucket_are_removed_with_all_their_objects(make_planning, tmp_path, s3, bucket):
    planning = make_planning(tmp_path, bucket)
    for number in range(3):
        planning.folder = planning.run_folder(f"run {number}")
        planning.plan("id\n1\n")
        s3.date(planning.folder.mark, number)
    assert prune(bucket, "csv_processing", 1, Busy(), "/data/output.json") == ["run 1", "run 0"]
    assert [folder.run_id for folder in run_folders(bucket, "csv_processing")] == ["run 2"]
    assert [path.name for path in listed(bucket / "runs" / "csv_processing")] == ["run 2"]
