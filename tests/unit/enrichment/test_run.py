"""A run's folder."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.common.errors import BadInputError
from include.enrichment.run import Plan, RunFolder, file_name, write_json

PLAN = Plan(
    source="/data/мой файл.csv",
    source_bytes=2048,
    source_sha256="ab" * 32,
    encoding="cp1251",
    delimiter=";",
    columns=("id", "город"),
    key="id",
    output="/data/output.json",
    rate_limit="2/minute",
    limit=None,
    dry_run=False,
    rows=142,
    to_call=140,
)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path, "csv_processing", "manual__1")


def test_a_run_has_its_folder_below_the_storage_root_and_its_pipeline(tmp_path, folder):
    assert folder.path == tmp_path / "runs" / "csv_processing" / "manual__1"


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


def test_a_stop_holds_for_every_task_that_has_not_ended_by_it(folder):
    folder.stop("401: refused")
    folder.resume(1)
    assert folder.stopped() == "401: refused"


def test_a_task_that_ended_by_a_stop_and_starts_again_was_cleared_and_voids_it(folder):
    folder.stop("401: refused")
    folder.note_stopped(1)
    folder.resume(1)
    assert folder.stopped() is None
    folder.stop("403: refused")
    folder.resume(1)
    assert folder.stopped() == "403: refused"


def test_json_for_people_is_utf_8_and_readable(tmp_path):
    write_json(tmp_path / "x.json", {"город": "Москва"})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "город": "Москва"\n}\n'.encode()


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("^GSPC", "^GSPC"),
        ("EURUSD=X", "EURUSD=X"),
        ("a b", "a b"),
        ("Москва", "Москва"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("..", "%2E."),
        ("a\\b?*", "a%5Cb%3F%2A"),
    ],
)
def test_a_key_as_a_file_name_stays_readable_where_it_can(text, name):
    assert file_name(text) == name


@given(st.text(min_size=1, max_size=400))
@example("я" * 250)
@example("語" * 250)
@example("/" * 250)
def test_whatever_the_text_its_file_name_is_one_that_a_file_can_have(text):
    name = file_name(text)
    assert name
    assert name not in (".", "..")
    assert not set(name) & {"/", "\0", "\n"}
    assert len(name.encode()) + len(".json") <= 255


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), min_size=2, max_size=2))
def test_different_texts_have_different_file_names(texts):
    assert (file_name(texts[0]) == file_name(texts[1])) == (texts[0] == texts[1])


def test_long_texts_that_differ_at_their_end_have_different_file_names():
    assert file_name("x" * 240 + "1") != file_name("x" * 240 + "2")
