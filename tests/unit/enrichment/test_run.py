"""A run's folder."""

import os

import pytest

from include.common.errors import BadInputError
from include.common.files import read_json, write_json
from include.common.names import file_name
from include.enrichment.models import Chunk
from include.enrichment.run import Ending, Plan, RunFolder, Source, run_folders

pytest_plugins = ["tests.s3"]

PLAN = Plan(
    source=Source("/data/мой файл.csv", 2048, "ab" * 32, "cp1251", ";", ("id", "город")),
    output="/data/output.json",
    key="id",
    rate_limit="2/minute",
    limit=None,
    dry_run=False,
    rows=142,
    to_call=140,
    chunks=(Chunk(0, "004", 1, 1, 1, 0, 40), Chunk(1, "rows 2-142", 2, 142, 139, 40, 5560)),
    retry_failed_of="manual__0",
    kept=2,
    max_calls=50,
    deadline=3000.0,
)


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    return tmp_path if request.param == "local" else request.getfixturevalue("bucket")


@pytest.fixture
def folder(storage):
    return RunFolder(storage, "csv_processing", "manual__1")


def test_a_run_has_its_folder_below_the_storage_root_and_its_pipeline(storage, folder):
    assert folder.path == storage / "runs" / "csv_processing" / "manual__1"


def test_making_the_object_makes_no_folder(folder):
    assert not folder.path.exists()


def test_airflows_run_ids_stay_readable():
    assert file_name("scheduled__2026-11-21T23:00:00+00:00") == "scheduled__2026-11-21T23:00:00+00:00"


@pytest.mark.parametrize("run_id", ["..", ".", "../../etc", "/etc/passwd", "a/b", ".hidden", "a\0b", "a\nb"])
def test_no_run_id_leads_out_of_the_runs_folder(tmp_path, run_id):
    path = RunFolder(tmp_path, "csv_processing", run_id).path
    assert path.parent == tmp_path / "runs" / "csv_processing"
    assert not path.name.startswith(".")
    assert path.resolve().parent == path.parent


def test_what_the_plan_wrote_is_read_back(folder):
    folder.write_plan(PLAN)
    assert folder.read_plan() == PLAN


def test_a_run_without_a_plan_says_where_it_looked(folder):
    with pytest.raises(BadInputError, match=f"no plan .*{folder.path}"):
        folder.read_plan()


def test_nobody_told_a_new_run_to_stop(folder):
    assert folder.stopped() is None


def test_a_stop_is_known_to_all_until_it_is_voided(folder):
    folder.create()
    folder.stop("401: refused")
    assert folder.stopped() == "401: refused"
    folder.resume()
    assert folder.stopped() is None


def test_a_run_that_nobody_stopped_can_be_resumed_all_the_same(folder):
    folder.create()
    folder.resume()
    assert folder.stopped() is None


def test_a_chunk_whose_task_is_still_at_work_has_no_ending(folder):
    folder.create()
    assert folder.ending(0) is None


@pytest.mark.parametrize(
    "ending", [Ending(1, 3), Ending(1200, 1203, stopped=True), Ending(2, 3, left="skipped: deadline, 12:00 UTC")]
)
def test_how_a_chunk_ended_is_remembered(folder, ending):
    folder.create()
    folder.end(7, ending)
    assert folder.ending(7) == ending


def test_chunks_end_each_for_itself(folder):
    folder.create()
    folder.end(1, Ending(1, 3))
    folder.end(100_001, Ending(2, 3))
    assert (folder.ending(1), folder.ending(100_001), folder.ending(0)) == (Ending(1, 3), Ending(2, 3), None)


def test_the_last_ending_of_a_chunk_counts(folder):
    folder.create()
    folder.end(0, Ending(1, 3, stopped=True))
    folder.end(0, Ending(2, 4))
    assert folder.ending(0) == Ending(2, 4)


def test_an_ending_can_be_forgotten_and_twice_too(folder):
    folder.create()
    folder.end(0, Ending(1, 3))
    folder.forget_ending(0)
    folder.forget_ending(0)
    assert folder.ending(0) is None


def test_a_run_that_is_called_again_forgets_what_it_came_to_and_keeps_its_plan(folder):
    folder.create()
    folder.write_plan(PLAN)
    for path in (folder.tally, folder.manifest):
        write_json(path, {})
    folder.unsettle()
    folder.unsettle()
    assert (read_json(folder.tally), read_json(folder.manifest)) == (None, None)
    assert folder.read_plan() == PLAN


def test_a_plan_that_is_made_anew_is_forgotten_first(folder):
    folder.create()
    folder.write_plan(PLAN)
    folder.forget_plan()
    with pytest.raises(BadInputError, match="no plan"):
        folder.read_plan()


def test_a_run_that_never_was_can_forget_its_plan(folder):
    folder.forget_plan()
    assert read_json(folder.mark) is None


def test_a_folder_knows_its_run_by_its_whole_id(storage):
    run_id = "manual__2026-11-21T23:35:31+00:00/" + "x" * 300
    RunFolder(storage, "csv_processing", run_id).create()
    (found,) = run_folders(storage, "csv_processing")
    assert found.run_id == run_id


def test_a_pipeline_without_runs_has_no_folders(storage):
    assert run_folders(storage, "csv_processing") == []


def test_the_run_that_began_last_comes_first(tmp_path, monkeypatch):
    for run_id, second in (("b", 30), ("a", 10), ("d", 20), ("c", 40)):
        monkeypatch.setattr("time.time", lambda now=second: now)
        RunFolder(tmp_path, "csv_processing", run_id).create()
    assert [folder.run_id for folder in run_folders(tmp_path, "csv_processing")] == ["c", "b", "d", "a"]


def test_what_is_written_to_a_run_later_does_not_make_it_younger(tmp_path):
    for run_id, second in (("old", 10), ("new", 20)):
        folder = RunFolder(tmp_path, "csv_processing", run_id)
        folder.create()
        os.utime(folder.mark, (second, second))
    RunFolder(tmp_path, "csv_processing", "old").write_plan(PLAN)
    assert [folder.run_id for folder in run_folders(tmp_path, "csv_processing")] == ["new", "old"]


def test_a_folder_without_its_mark_is_no_run(storage):
    RunFolder(storage, "csv_processing", "manual__1").write_plan(PLAN)
    assert run_folders(storage, "csv_processing") == []


def test_runs_of_another_pipeline_are_none_of_this(storage):
    RunFolder(storage, "symbol_processing", "manual__1").create()
    assert run_folders(storage, "csv_processing") == []
