"""Planning a run: what bad input gets, and how rows become chunks."""

import hashlib
import itertools
import json
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import BadInputError, ConfigError, PermanentError
from include.common.storage import listed, place
from include.enrichment.models import Request
from include.enrichment.rows import Marks, RowToCall, open_rows, read_rows
from include.enrichment.run import Source

pytest_plugins = ["tests.s3"]

THREE = "id,country\n004,Afghanistan\n008,Albania\n012,Algeria\n"


def numbered(rows: int) -> str:
    return "id,name\n" + "".join(f"{number},name {number}\n" for number in range(1, rows + 1))


def called(planning, chunks) -> list[RowToCall]:
    """The rows of all chunks, in the order of the chunks."""
    found = []
    for chunk in chunks:
        with open_rows(planning.folder, chunk) as rows:
            found += read_rows(rows, chunk)
    return found


def rejected(planning) -> list[dict]:
    return [json.loads(line) for line in planning.folder.rejects.read_text().splitlines()]


def refused(planning, content=None, **choices) -> str:
    """The sentence with which the plan refuses; fails where it does not."""
    with pytest.raises(PermanentError) as caught:
        planning.plan(content, **choices)
    return str(caught.value)


def test_a_missing_source_is_refused_with_its_path(planning):
    with pytest.raises(BadInputError, match=f"^source `{planning.source}` does not exist$"):
        planning.plan()


def test_a_folder_as_the_source_is_refused_with_its_path(planning):
    planning.source.mkdir()
    with pytest.raises(BadInputError, match=f"^source `{planning.source}` is a folder, not a file$"):
        planning.plan()


def test_a_source_below_a_file_is_refused_with_its_path(planning, tmp_path):
    (tmp_path / "file").write_text("")
    source = tmp_path / "file" / "input.csv"
    assert f"`{source}`" in refused(planning, source=source)


def test_a_source_whose_name_no_file_can_have_is_refused_with_its_path(planning, tmp_path):
    source = tmp_path / ("x" * 300)
    assert f"`{source}`" in refused(planning, source=source)


def test_an_output_whose_name_no_file_can_have_is_refused_with_its_path(planning, tmp_path):
    output = tmp_path / ("x" * 300)
    assert f"`{output}`" in refused(planning, THREE, output=output)


def test_an_output_below_a_file_is_refused_before_anything_is_called(planning, tmp_path):
    (tmp_path / "taken").write_text("")
    output = tmp_path / "taken" / "deep" / "out.json"
    assert f"output is `{output}`, but nothing can be written in `{tmp_path / 'taken'}`: Not a directory" in refused(
        planning, THREE, output=output
    )


def test_an_output_in_folders_that_are_still_to_be_made_is_fine(planning, tmp_path):
    assert len(planning.plan(THREE, output=tmp_path / "new" / "deep" / "out.json")) == 3


def test_a_source_that_is_a_device_is_refused(planning):
    assert "source `/dev/null` is not a file" in refused(planning, source=Path("/dev/null"))


def test_a_source_that_cannot_be_read_is_refused_with_its_path(planning):
    # Address 0 of a process is never mapped: reading it is EIO, to root as well.
    source = Path("/proc/self/mem")
    with pytest.raises(BadInputError, match=r"^source `/proc/self/mem` cannot be read: "):
        planning.plan(source=source)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_an_empty_source_is_refused_with_its_path(planning, content):
    with pytest.raises(BadInputError, match=f"`{planning.source}` is empty"):
        planning.plan(content)


def test_a_header_alone_is_refused_with_the_path(planning):
    with pytest.raises(BadInputError, match=f"`{planning.source}` has a header and no rows"):
        planning.plan("id,country\n\n\n")


def test_a_missing_key_column_names_it_and_the_columns_found(planning):
    with pytest.raises(BadInputError, match=f"`{planning.source}` has no key column `id`.*`code`, `country`"):
        planning.plan("code,country\n004,Afghanistan\n")


def test_the_runs_own_key_column_counts(planning):
    chunks = planning.plan("code,country\n004,Afghanistan\n", key="code", pipeline={"request": request("/{code}")})
    assert [chunk.label for chunk in chunks] == ["004"]


def request(path: str, **parts) -> Request:
    return Request(connection="csv_api", path=path, **parts)


@pytest.mark.parametrize(
    ("made", "place"),
    [
        (request("/{code}"), "request.path is `/{code}`"),
        (request("/", query={"c": "{code}"}), "request.query.c is `{code}`"),
        (request("/", headers={"X-Code": "{code}"}), "request.headers.X-Code is `{code}`"),
        (request("/", json={"a": [{"b": "{code}"}]}), "request.json.a[0].b is `{code}`"),
    ],
)
def test_an_unknown_template_field_names_its_place_and_the_columns_found(planning, made, place):
    message = refused(planning, THREE, pipeline={"request": made})
    assert message == f"{place}: no column `code`; the columns found are `id`, `country`"


def test_a_request_that_appends_the_key_needs_no_column_but_the_runs_key(planning):
    chunks = planning.plan("sku\na-1\n", pipeline={"request": Request("csv_api")}, key="sku")
    assert [chunk.label for chunk in chunks] == ["a-1"]


def test_a_column_with_the_name_kept_for_the_answers_is_refused(planning):
    assert "a column `_answer`" in refused(planning, "id,_answer\n1,a\n")


def test_an_output_that_is_the_source_is_refused(planning):
    assert "the source itself" in refused(planning, THREE, output=planning.source)
    assert planning.source.read_text() == THREE


def test_an_output_that_leads_to_the_source_by_another_way_is_refused(planning, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert "the source itself" in refused(planning, THREE, output=tmp_path / "link" / "input.csv")


def test_an_output_that_is_a_folder_is_refused(planning, tmp_path):
    with pytest.raises(ConfigError, match=f"output is `{tmp_path}`: a folder"):
        planning.plan(THREE, output=tmp_path)


def test_an_output_that_names_a_column_other_than_the_key_is_refused(planning):
    assert "it names `country`" in refused(planning, THREE, output=Path("/data/{country}.json"))


def test_a_malformed_output_of_the_run_is_refused(planning):
    assert "output is `/data/{id.json`" in refused(planning, THREE, output=Path("/data/{id.json"))


def test_the_last_output_is_untouched_by_a_plan_that_fails(planning):
    planning.output.write_text("[]\n")
    refused(planning, "id,country\n")
    assert planning.output.read_text() == "[]\n"


def test_too_few_and_too_many_fields_fail_their_rows_and_the_others_go_on(planning):
    chunks = planning.plan("id,country\n1,a\n2\n3,b,c\n4,d\n")
    assert [row.key for row in called(planning, chunks)] == ["1", "4"]
    assert [(reject["n"], reject["status"], reject["error"]) for reject in rejected(planning)] == [
        (2, "failed", "line 3: 1 field, the header has 2"),
        (3, "failed", "line 4: 3 fields, the header has 2"),
    ]


def test_the_line_of_a_failed_row_is_the_one_in_an_editor(planning):
    planning.plan('id,note\n1,"two\nlines"\n\n2\n')
    assert rejected(planning)[0]["error"] == "line 5: 1 field, the header has 2"


def test_an_undecodable_byte_fails_its_row_and_the_others_go_on(planning):
    chunks = planning.plan(b"id,country\n1,a\n2,\xff\n3,c\n", encoding="utf-8")
    assert [row.key for row in called(planning, chunks)] == ["1", "3"]
    assert [(reject["n"], reject["status"], reject["error"]) for reject in rejected(planning)] == [
        (2, "failed", "line 3: field 2 holds the byte 0xFF, which is not utf-8")
    ]


def test_a_nul_fails_its_row_and_the_others_go_on(planning):
    chunks = planning.plan(b"id,country\n1,a\n2,b\0c\n3,c\n")
    assert [row.key for row in called(planning, chunks)] == ["1", "3"]
    assert [(reject["n"], reject["status"]) for reject in rejected(planning)] == [(2, "failed")]
    assert "NUL" in rejected(planning)[0]["error"]


@pytest.mark.parametrize("trim", [True, False])
@pytest.mark.parametrize("empty", ["", "  ", "\t"])
def test_an_empty_or_blank_key_is_skipped(planning, empty, trim):
    chunks = planning.plan(f"id,country\n1,a\n{empty},b\n3,c\n", trim_keys=trim)
    assert [row.key for row in called(planning, chunks)] == ["1", "3"]
    assert [(reject["n"], reject["status"], reject["error"]) for reject in rejected(planning)] == [
        (2, "skipped", "line 3: the key `id` is empty")
    ]


def test_a_key_seen_before_is_skipped_and_says_where_it_was_seen(planning):
    chunks = planning.plan("id,country\n1,a\n2,b\n1,c\n1,d\n")
    assert [row.values for row in called(planning, chunks)] == [["1", "a"], ["2", "b"]]
    assert [(reject["n"], reject["status"], reject["error"]) for reject in rejected(planning)] == [
        (3, "skipped", "line 4: the key `1` was seen in row 1"),
        (4, "skipped", "line 5: the key `1` was seen in row 1"),
    ]


def test_keys_are_compared_and_called_without_the_blanks_around_them_where_they_are_trimmed(planning):
    chunks = planning.plan("id,country\n 1\t,a\n1,b\n", trim_keys=True)
    assert [(row.key, row.values) for row in called(planning, chunks)] == [("1", ["1", "a"])]
    assert [reject["error"] for reject in rejected(planning)] == ["line 3: the key `1` was seen in row 1"]


def test_trimming_is_part_of_the_plan(planning):
    planning.plan("id,country\n 1,a\n", trim_keys=True)
    assert planning.made.trim_keys


@pytest.mark.parametrize(
    "keys", [("7", "007"), ("a", "A"), ("1", "1.0"), ("é", "e\u0301"), ("a b", "a  b"), (" a", "a"), ("\t=1", "=1")]
)
def test_keys_that_differ_in_any_character_are_different(planning, keys):
    chunks = planning.plan(f"id,country\n{keys[0]},a\n{keys[1]},b\n")
    assert [row.key for row in called(planning, chunks)] == list(keys)


def test_a_failed_row_does_not_use_up_its_key(planning):
    chunks = planning.plan("id,country\n1\n1,b\n")
    assert [row.values for row in called(planning, chunks)] == [["1", "b"]]


def test_a_source_without_one_good_row_has_nothing_to_call(planning):
    assert planning.plan("id,country\n1\n,b\n") == []
    made = planning.made
    assert (made.rows, made.to_call) == (2, 0)


def test_three_rows_are_three_tasks_named_by_their_keys(planning):
    chunks = planning.plan(THREE)
    assert [(chunk.index, chunk.label, chunk.first_row, chunk.last_row, chunk.rows) for chunk in chunks] == [
        (0, "004", 1, 1, 1),
        (1, "008", 2, 2, 1),
        (2, "012", 3, 3, 1),
    ]


def test_the_chunks_stand_in_the_plan(planning):
    chunks = planning.plan(numbered(50), tasks=3)
    assert planning.made.chunks == tuple(chunks)


@pytest.mark.parametrize(("rows", "tasks"), [(1, 1), (3, 1), (20, 1), (21, 1), (1000, 1)])
def test_two_calls_a_minute_are_one_task_however_many_rows(planning, rows, tasks):
    assert len(planning.plan(numbered(rows), tasks=5, rate_limit="2/minute")) == tasks


@pytest.mark.parametrize(
    ("rate_limit", "timeout", "requests", "tasks"),
    [
        ("2/minute", 10.0, 1, 1),
        ("2/minute", 30.0, 1, 1),
        ("2/minute", 60.0, 1, 2),
        ("2/minute", 60.0, 2, 1),
        ("1/second", 3.0, 1, 3),
        ("1/second", 3.5, 1, 4),
        ("1/second", 10.0, 1, 5),
        ("1/second", 10.0, 4, 3),
        ("1/second", 10.0, 10, 1),
        ("5/second", 10.0, 1, 5),
        ("5/second", 10.0, 10, 5),
        ("5/second", 0.5, 1, 3),
        ("1/day", 10.0, 1, 1),
        ("none", 10.0, 1, 5),
        ("none", 0.1, 50, 5),
    ],
)
def test_no_more_tasks_than_keep_the_limit_busy(planning, rate_limit, timeout, requests, tasks):
    made = request("/{id}", timeout=timeout)
    chunks = planning.plan(numbered(100), pipeline={"request": made}, tasks=5, requests=requests, rate_limit=rate_limit)
    assert len(chunks) == tasks
    assert sum(chunk.rows for chunk in chunks) == 100


@pytest.mark.parametrize(
    ("rate_limit", "tasks"), [("none", 20), ("5/second", 20), ("90/minute", 20), ("1/second", 5), ("50/minute", 5)]
)
def test_few_rows_are_a_task_each_unless_the_limit_is_slow(planning, rate_limit, tasks):
    assert len(planning.plan(numbered(20), tasks=5, rate_limit=rate_limit)) == tasks


def test_no_more_tasks_than_rows(planning):
    chunks = planning.plan(numbered(2), tasks=5, rate_limit="1/second")
    assert [chunk.label for chunk in chunks] == ["1", "2"]


def test_a_task_is_named_by_its_key_as_people_may_be_shown_it(planning):
    keys = ["\x1b[2J", "a\u202eb", "k" * 5000, '"two\nlines"']
    chunks = planning.plan("id\n" + "".join(f"{key}\n" for key in keys))
    assert [chunk.label for chunk in chunks] == [r"\x1b[2J", r"a\u202eb", f"{'k' * 30}…{'k' * 29}", r"two\nlines"]
    assert [row.key for row in called(planning, chunks)] == ["\x1b[2J", "a\u202eb", "k" * 5000, "two\nlines"]


def test_the_reason_of_a_repeated_key_shows_it_escaped_and_cut(planning):
    planning.plan(f"id\n\x1b[2J\n\x1b[2J\n{'k' * 5000}\n{'k' * 5000}\n")
    assert [reject["error"] for reject in rejected(planning)] == [
        r"line 3: the key `\x1b[2J` was seen in row 1",
        f"line 5: the key `{'k' * 30}…{'k' * 29}` was seen in row 3",
    ]


def test_the_columns_that_a_message_names_are_shown_escaped_and_cut(planning):
    assert refused(planning, f"\x1b[2J,{'c' * 5000}\n1,2\n").endswith(
        rf"no key column `id`; the columns found are `\x1b[2J`, `{'c' * 30}…{'c' * 29}`"
    )


def test_twenty_rows_are_twenty_tasks(planning):
    assert [chunk.rows for chunk in planning.plan(numbered(20), tasks=5)] == [1] * 20


def test_twenty_one_rows_are_chunks(planning):
    chunks = planning.plan(numbered(21), tasks=5)
    assert [chunk.label for chunk in chunks] == ["rows 1-5", "rows 6-10", "rows 11-15", "rows 16-20", "21"]


def test_a_thousand_rows_are_as_many_chunks_as_tasks_may_run(planning):
    chunks = planning.plan(numbered(1000), tasks=5)
    assert [chunk.label for chunk in chunks] == [
        "rows 1-200",
        "rows 201-400",
        "rows 401-600",
        "rows 601-800",
        "rows 801-1000",
    ]


def test_labels_count_rows_of_the_input_with_the_rejected_ones(planning):
    lines = [f"{number},x\n" for number in range(1, 41)]
    lines[0] = "1\n"
    lines[19] = ",x\n"
    chunks = planning.plan("id,name\n" + "".join(lines), tasks=2)
    assert [chunk.label for chunk in chunks] == ["rows 2-21", "rows 22-40"]
    assert [(chunk.first_row, chunk.last_row, chunk.rows) for chunk in chunks] == [(2, 21, 19), (22, 40, 19)]


def test_a_row_is_handed_on_with_number_key_and_values(planning):
    chunks = planning.plan('id,note\n1,"two\nlines"\n2,Ёлка 🎄\n')
    assert called(planning, chunks) == [
        RowToCall(1, "1", ["1", "two\nlines"]),
        RowToCall(2, "2", ["2", "Ёлка 🎄"]),
    ]


@pytest.mark.parametrize("rows", [1, 19, 20, 21, 22, 39, 40, 41, 100, 4095, 4096, 4097, 5000])
def test_the_chunks_hold_every_row_once_and_in_order(planning, rows):
    chunks = planning.plan(numbered(rows), tasks=7)
    assert [row.n for row in called(planning, chunks)] == list(range(1, rows + 1))
    assert sum(chunk.rows for chunk in chunks) == rows


def test_the_lengths_of_the_chunks_are_those_of_the_file(planning):
    chunks = planning.plan(numbered(100), tasks=7)
    ends = [chunk.offset + chunk.length for chunk in chunks]
    assert [chunk.offset for chunk in chunks] == [0, *ends[:-1]]
    assert ends[-1] == planning.folder.rows.stat().st_size


@given(lengths=st.lists(st.integers(1, 9), max_size=120), tasks=st.integers(1, 30), most=st.sampled_from([2, 4, 8]))
def test_however_many_rows_the_chunks_are_contiguous_and_not_too_many(lengths, tasks, most):
    class FewMarks(Marks):
        MOST = most

    marks = FewMarks()
    for number, length in enumerate(lengths, 1):
        marks.add(number, f"key {number}", length)
    chunks = marks.chunks(tasks)
    starts = [0, *itertools.accumulate(lengths)]
    row = 0
    for index, chunk in enumerate(chunks):
        assert chunk.rows >= 1
        assert (chunk.index, chunk.first_row) == (index, row + 1)
        assert (chunk.offset, chunk.length) == (starts[row], starts[row + chunk.rows] - starts[row])
        last = row + chunk.rows
        assert chunk.last_row == last
        assert chunk.label == (f"key {last}" if chunk.rows == 1 else f"rows {row + 1}-{last}")
        row = last
    assert row == len(lengths)
    assert len(chunks) <= min(tasks, most)


def test_a_limit_takes_the_first_rows_only(planning):
    chunks = planning.plan(numbered(100), limit=3)
    assert [row.n for row in called(planning, chunks)] == [1, 2, 3]
    made = planning.made
    assert (made.rows, made.to_call, made.limit) == (3, 3, 3)


def test_the_runs_own_choices_stand_in_the_plan(planning):
    planning.plan(
        THREE,
        api="https://api.example.org",
        api_origin="connection csv_api",
        api_url="https://api.example.org",
        max_calls=5,
        deadline=3000.0,
    )
    made = planning.made
    assert (made.api, made.api_origin) == ("https://api.example.org", "connection csv_api")
    assert made.api_url == "https://api.example.org"
    assert (made.max_calls, made.deadline) == (5, 3000.0)
    assert (made.retry_failed_of, made.kept) == (None, 0)


def test_a_limit_counts_rows_that_are_rejected_too(planning):
    chunks = planning.plan("id,name\n1\n2,b\n3,c\n", limit=2)
    assert [row.n for row in called(planning, chunks)] == [2]
    assert [reject["n"] for reject in rejected(planning)] == [1]


def test_a_limit_beyond_the_file_takes_all(planning):
    assert len(planning.plan(THREE, limit=1000)) == 3


def test_a_dry_run_plans_and_calls_nothing(planning):
    assert planning.plan("id,country\n1,a\n2\n,c\n", dry_run=True) == []
    made = planning.made
    assert (made.dry_run, made.rows, made.to_call) == (True, 3, 1)


def test_a_dry_run_refuses_what_a_run_refuses(planning):
    assert "no key column" in refused(planning, "code\n1\n", dry_run=True)


def test_the_plan_says_what_was_read(planning):
    content = "id;город\n1;Москва\n2;Тверь\n3\n".encode("cp1251")
    planning.plan(content, rate_limit="2/minute")
    made = planning.made
    assert made.source == Source(
        str(planning.source), len(content), hashlib.sha256(content).hexdigest(), "cp1251", ";", ("id", "город")
    )
    assert (made.output, made.key, made.rate_limit) == (str(planning.output), "id", "2/minute")
    assert (made.rows, made.to_call) == (3, 2)


def test_encoding_and_delimiter_are_taken_as_they_are_where_they_are_given(planning):
    planning.plan("id|x,y\n1|2\n".encode("utf-16-le"), pipeline={"delimiter": "|"}, encoding="utf-16-le")
    assert planning.made.source.columns == ("id", "x,y")


def test_a_source_that_changes_during_the_run_changes_nothing(planning):
    chunks = planning.plan(THREE)
    planning.write("id,country\n999,Nowhere\n")
    assert [row.key for row in called(planning, chunks)] == ["004", "008", "012"]


def test_a_plan_made_anew_replaces_the_earlier_one_with_its_answers(planning):
    planning.plan(THREE)
    (planning.folder.segments / "00000.001.jsonl").write_text('{"n": 1, "status": "ok", "attempts": 1, "answer": 5}\n')
    planning.folder.stop("401: refused")
    chunks = planning.plan("id,country\n020,Andorra\n")
    assert [row.key for row in called(planning, chunks)] == ["020"]
    assert list(planning.folder.segments.iterdir()) == []
    assert planning.folder.stopped() is None


def test_a_plan_that_fails_leaves_no_earlier_plan_to_be_taken_for_its_own(planning):
    planning.plan(THREE)
    refused(planning, "id,country\n")
    with pytest.raises(BadInputError, match="no plan"):
        planning.folder.read_plan()


def test_a_missing_source_leaves_no_earlier_plan_to_be_taken_for_its_own(planning):
    planning.plan(THREE)
    planning.source.unlink()
    refused(planning)
    with pytest.raises(BadInputError, match="no plan"):
        planning.folder.read_plan()


def test_messages_name_the_source_and_not_the_copy_in_the_runs_folder(planning):
    for content in ("", "id\n", "code\n1\n", "id,id\n1,2\n"):
        message = refused(planning, content)
        assert f"`{planning.source}`" in message
        assert str(planning.folder.path) not in message


def test_the_memory_does_not_grow_with_the_rows(planning):
    def peak(rows: int) -> int:
        planning.write("id,name\n" + "".join(f"{number:0100d},x\n" for number in range(rows)))
        shutil.rmtree(planning.folder.path, ignore_errors=True)
        tracemalloc.start()
        planning.plan()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # 12,000 rows fill the sample that encoding and delimiter are detected on.
    assert peak(30_000) < 1.2 * peak(12_000)


def in_bucket(make_planning, tmp_path, bucket):
    """A run whose source, output and storage are all in a bucket."""
    planning = make_planning(tmp_path, bucket / "storage")
    planning.source, planning.output = bucket / "in" / "input.csv", bucket / "out" / "output.json"
    return planning


def test_source_output_and_storage_may_be_urls(make_planning, tmp_path, bucket):
    planning = in_bucket(make_planning, tmp_path, bucket)
    chunks = planning.plan("id,country\n004,Afghanistan\n008\n012,Algeria\n", pipeline={"single_rows": 0}, tasks=2)
    assert [row.values for row in called(planning, chunks)] == [["004", "Afghanistan"], ["012", "Algeria"]]
    assert [reject["n"] for reject in rejected(planning)] == [2]
    made = planning.made
    assert (made.source.path, made.output) == (f"{bucket}/in/input.csv", f"{bucket}/out/output.json")
    assert (made.rows, made.to_call, made.chunks) == (3, 2, tuple(chunks))


def test_the_files_of_a_plan_are_uploaded_whole(make_planning, tmp_path, bucket):
    planning = in_bucket(make_planning, tmp_path, bucket)
    planning.plan(numbered(3000))
    found = {path.name: path.stat().st_size for path in listed(planning.folder.path) if path.is_file()}
    assert set(found) == {"input.csv", "rows.jsonl", "rejects.jsonl", "kept.jsonl", "run.json", "plan.json"}
    assert found["input.csv"] == len(numbered(3000)) == planning.made.source.bytes
    assert found["rows.jsonl"] == sum(chunk.length for chunk in planning.made.chunks)


def test_every_chunk_of_a_plan_in_a_bucket_finds_its_own_rows(make_planning, tmp_path, bucket):
    planning = in_bucket(make_planning, tmp_path, bucket)
    chunks = planning.plan(numbered(1000), tasks=7)
    assert [row.n for row in called(planning, chunks)] == list(range(1, 1001))
    assert [row.n for row in called(planning, chunks[3:4])] == list(range(430, 573))


def test_a_plan_that_fails_leaves_nothing_half_made_in_a_bucket(make_planning, tmp_path, bucket):
    planning = in_bucket(make_planning, tmp_path, bucket)
    planning.plan(THREE)
    refused(planning, "code\n1\n")
    assert [path.name for path in listed(planning.folder.path)] == ["run.json"]


def test_a_source_that_is_not_in_the_bucket_is_refused_with_its_url(make_planning, tmp_path, bucket):
    planning = in_bucket(make_planning, tmp_path, bucket)
    assert refused(planning) == f"source `{bucket}/in/input.csv` does not exist"


def test_an_output_url_that_is_the_source_is_refused(make_planning, tmp_path, bucket):
    planning = in_bucket(make_planning, tmp_path, bucket)
    assert "the source itself" in refused(planning, THREE, output=planning.source)


def test_an_output_url_may_name_the_key(make_planning, tmp_path, bucket):
    planning = in_bucket(make_planning, tmp_path, bucket)
    output = place(f"{bucket}/out/{{id}}.json", tmp_path, "output")
    planning.plan(THREE, output=output)
    assert planning.made.output == f"{bucket}/out/{{id}}.json"


def test_a_local_source_can_be_planned_into_a_bucket(make_planning, tmp_path, in_memory):
    planning = make_planning(tmp_path, in_memory)
    assert [row.key for row in called(planning, planning.plan(THREE))] == ["004", "008", "012"]


@pytest.mark.parametrize(
    ("rows", "rate_limit", "tasks", "requests"),
    [
        (20, "none", 20, 1),  # a row a task
        (30, "none", 2, 15),  # no more than a task has rows
        (1000, "none", 2, 25),
        (1000, "1/second", 1, 5),  # no more than the limit lets answer in the time that one may take
    ],
)
def test_a_task_takes_no_more_slots_than_it_can_use(planning, rows, rate_limit, tasks, requests):
    pipeline = {"request": Request(connection="csv_api", path="/{id}", timeout=5)}
    chunks = planning.plan(numbered(rows), pipeline=pipeline, tasks=2, requests=25, rate_limit=rate_limit)
    assert (len(chunks), planning.folder.read_plan().requests_per_task) == (tasks, requests)
