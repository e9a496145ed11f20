"""From a frame to JSON, published whole."""

import datetime
import decimal
import enum
import hashlib
import itertools
import json
import math
import tempfile
import tracemalloc
import uuid
from pathlib import Path

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import ConfigError, HeadraceError, PermanentError
from include.common.storage import listed, place
from include.enrichment.records import Published, plain, publish, write_records
from include.enrichment.transforms import ANSWER, flatten

pytest_plugins = ["tests.s3"]


@pytest.fixture
def lines(tmp_path):
    return tmp_path / "records.jsonl"


def written(frame: pandas.DataFrame, lines) -> list[dict]:
    """The records of one frame as a strict reader of JSON finds them."""
    assert write_records([frame], lines) == len(frame)
    return read(lines)


def read(lines) -> list[dict]:
    return [json.loads(line, parse_constant=refuse) for line in lines.read_bytes().decode("utf-8").split("\n")[:-1]]


def column(*values) -> pandas.DataFrame:
    """A frame with the values as they are in its only column, `x`."""
    return pandas.DataFrame({"x": pandas.Series(list(values), dtype=object)})


def published(records, output, key: str) -> list[Published]:
    """All files that are published, in their order."""
    return list(publish(records, str(output), key, lambda text: place(text, Path("/"), "output")))


def paths(made: list[Published]) -> list[Path]:
    return [Path(file.path) for file in made]


def refuse(constant: str):
    raise AssertionError(f"{constant} is no JSON")


def jsonl(path, *records: dict):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


@pytest.mark.parametrize(
    "missing",
    [
        None,
        math.nan,
        math.inf,
        -math.inf,
        pandas.NA,
        pandas.NaT,
        numpy.float64("nan"),
        numpy.float32("inf"),
        numpy.datetime64("NaT"),
        numpy.timedelta64("NaT"),
        decimal.Decimal("NaN"),
        decimal.Decimal("Infinity"),
    ],
)
def test_whatever_is_missing_or_infinite_becomes_null(missing):
    assert plain(missing, "x") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (7, 7),
        (2**80, 2**80),
        (0.1, 0.1),
        ("007", "007"),
        (numpy.bool_(True), True),
        (numpy.int64(7), 7),
        (numpy.uint8(7), 7),
        (numpy.float64(0.5), 0.5),
        (numpy.float32(0.5), 0.5),
        (numpy.longdouble(0.5), 0.5),
        (numpy.str_("a"), "a"),
        (numpy.array([1, 2]), [1, 2]),
        (numpy.array([1.0, math.nan]), [1.0, None]),
        (numpy.datetime64("2026-01-02"), "2026-01-02T00:00:00"),
        (pandas.Timestamp("2026-01-02 03:04:05"), "2026-01-02T03:04:05"),
        (pandas.Timestamp("2026-01-02 03:04:05", tz="UTC"), "2026-01-02T03:04:05+00:00"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2026-01-02T03:04:05+00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.time(3, 4, 5), "03:04:05"),
        (datetime.timedelta(hours=1), "P0DT1H0M0S"),
        (pandas.Timedelta(hours=1), "P0DT1H0M0S"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (pandas.Period("2026-01"), "2026-01"),
        (enum.StrEnum("Colour", "RED").RED, "red"),
        ((1, "a"), [1, "a"]),
        ({"a": [{"b": math.nan}], 5: (1,)}, {"a": [{"b": None}], "5": [1]}),
    ],
)
def test_a_value_becomes_what_json_can_hold(value, expected):
    found = plain(value, "x")
    assert found == expected
    assert json.loads(json.dumps(found, allow_nan=False)) == expected


def test_a_boolean_is_no_number():
    assert plain(numpy.bool_(True), "x") is True
    assert plain(True, "x") is True


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_a_value_without_a_form_in_json_is_named_by_its_place(value):
    with pytest.raises(PermanentError, match=rf"`a\.b\[1\]` is a {type(value).__name__}, which JSON cannot hold"):
        plain({"b": [1, value]}, "a")


def test_keys_come_in_the_order_of_the_columns(lines):
    frame = pandas.DataFrame({"z": ["1"], "a": ["2"], "m": ["3"]})
    assert [list(record.items()) for record in written(frame, lines)] == [[("z", "1"), ("a", "2"), ("m", "3")]]


def test_gaps_in_any_kind_of_column_are_null(lines):
    frame = pandas.DataFrame(
        {
            "object": pandas.Series(["007", None], dtype=object),
            "float": [1.5, math.nan],
            "int": pandas.array([5, None], dtype="Int64"),
            "time": pandas.to_datetime(["2026-01-02", None]),
            "text": pandas.array(["a", None], dtype="string"),
            "kind": pandas.Categorical(["a", None]),
            "bool": pandas.array([True, None], dtype="boolean"),
        }
    )
    assert written(frame, lines) == [
        {
            "object": "007",
            "float": 1.5,
            "int": 5,
            "time": "2026-01-02T00:00:00",
            "text": "a",
            "kind": "a",
            "bool": True,
        },
        dict.fromkeys(frame.columns),
    ]


def test_integers_beyond_a_double_keep_every_digit(lines):
    frame = pandas.DataFrame({"n": pandas.Series([2**64 + 1, 9007199254740993], dtype=object)})
    assert [record["n"] for record in written(frame, lines)] == [2**64 + 1, 9007199254740993]


def test_nested_answers_are_written_as_they_are(lines):
    answer = {"list": [1, {"a": None}], "empty": {}, "text": 'line\nend "quote"'}
    frame = pandas.DataFrame({"answer": pandas.Series([answer], dtype=object)})
    assert written(frame, lines) == [{"answer": answer}]


def test_letters_of_any_alphabet_are_written_as_themselves(lines):
    assert written(pandas.DataFrame({"город": ["Москва 🎄"]}), lines) == [{"город": "Москва 🎄"}]
    assert "Москва 🎄".encode() in lines.read_bytes()


def test_half_a_surrogate_pair_is_escaped_and_the_file_stays_utf_8(lines):
    frame = pandas.DataFrame({"text": pandas.Series(["a\ud83db"], dtype=object)})
    assert written(frame, lines) == [{"text": "a\ud83db"}]


def test_columns_that_repeat_a_name_are_a_configuration_error(lines):
    frame = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ConfigError, match="'a'"):
        write_records([frame], lines)


def test_columns_that_differ_as_numbers_and_text_only_are_repeated_too(lines):
    with pytest.raises(ConfigError, match="'1'"):
        write_records([pandas.DataFrame([[1, 2]], columns=[1, "1"])], lines)


def test_an_empty_frame_is_no_record(lines):
    assert written(pandas.DataFrame({"a": []}), lines) == []
    assert written(pandas.DataFrame(), lines) == []


def test_no_frames_are_no_records(lines):
    assert write_records([], lines) == 0
    assert lines.read_bytes() == b""


def test_a_value_that_cannot_be_written_leaves_the_old_file(lines):
    lines.write_text("old\n")
    frame = pandas.DataFrame({"a": pandas.Series([1, object()], dtype=object)})
    with pytest.raises(PermanentError, match="`a` is a object"):
        write_records([frame], lines)
    assert lines.read_text() == "old\n"
    assert [path.name for path in lines.parent.iterdir()] == [lines.name]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=4), children, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_answer_becomes_valid_json(answer):
    text = json.dumps(plain(answer, "x"), ensure_ascii=False, allow_nan=False)
    json.loads(text.encode("utf-8", "backslashreplace"), parse_constant=refuse)


def both_ways(value, lines) -> list:
    """`value` as the fast way and, beside an integer that only the slow one can write, as the slow way writes it."""
    fast = written(column([value]), lines)[0]["x"][0]
    slow = written(column([value, 2**80]), lines)[0]["x"][0]
    return [fast, slow]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (-math.inf, None),
        (numpy.float64("nan"), None),
        (pandas.NA, None),
        (pandas.NaT, None),
        (0.1, 0.1),
        (-0.0, -0.0),
        (1e22, 1e22),
        (5e-324, 5e-324),
        (1.7976931348623157e308, 1.7976931348623157e308),
        (2**53 + 1, 2**53 + 1),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (numpy.int64(7), 7),
        (numpy.float32(0.5), 0.5),
        (numpy.bool_(True), True),
        (numpy.array([1.5, math.nan]), [1.5, None]),
        (numpy.datetime64("2026-01-02T03:04:05"), "2026-01-02T03:04:05"),
        (pandas.Timestamp("2026-01-02 03:04:05.123456789"), "2026-01-02T03:04:05.123456789"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC), "2026-01-02T03:04:05.000006+00:00"),
        (datetime.datetime(1, 1, 1), "0001-01-01T00:00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.time(3, 4, 5), "03:04:05"),
        (datetime.timedelta(hours=1), "P0DT1H0M0S"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (enum.StrEnum("Colour", "RED").RED, "red"),
        (enum.IntEnum("Size", "S").S, 1),
        ((1, ("a",)), [1, ["a"]]),
        ({1: "a", None: "b", 2.5: "c", False: "d"}, {"1": "a", "None": "b", "2.5": "c", "False": "d"}),
        ('Ё 🎄 \x00 \x7f \u2028 "', 'Ё 🎄 \x00 \x7f \u2028 "'),
    ],
    ids=repr,
)
def test_the_fast_way_and_the_slow_one_write_the_same_value(lines, value, expected):
    found = both_ways(value, lines)
    assert found == [expected, expected]
    assert {type(each) for each in found} == {type(expected)}


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**400, "\ud83d", {"\udc00": 1}, {5: {6: "a"}}], ids=ascii)
def test_what_the_fast_way_cannot_write_is_written_exactly(lines, value):
    expected = {"5": {"6": "a"}} if value == {5: {6: "a"}} else value
    assert written(column(value), lines) == [{"x": expected}]


@given(JSON)
def test_any_answer_is_the_same_json_both_ways(answer):
    with tempfile.TemporaryDirectory() as folder:
        fast, slow = both_ways(answer, Path(folder) / "records.jsonl")
    assert fast == slow == json.loads(json.dumps(plain(answer, "x")))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_a_record_that_json_cannot_hold_names_the_place_in_it(lines, value):
    with pytest.raises(PermanentError, match=rf"`x\.b\[1\]` is a {type(value).__name__}, which JSON cannot hold"):
        write_records([column({"b": [1, value]})], lines)


def test_frames_are_written_one_behind_the_other(lines):
    assert write_records([column(1, 2), column(3)], lines) == 3
    assert read(lines) == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_frames_are_taken_one_at_a_time(lines):
    taken = []

    def frames():
        for number in range(3):
            taken.append(number)
            yield column(number)
            assert taken[-1] == number

    assert write_records(frames(), lines) == 3
    assert taken == [0, 1, 2]


def test_columns_that_differ_between_frames_are_evened_out(lines):
    first = pandas.DataFrame({"id": ["1"], "a": [1]})
    second = pandas.DataFrame({"b": ["x"], "id": ["2"]})
    third = pandas.DataFrame({"id": ["3"], "a": [3], "b": ["z"]})
    assert write_records([first, second, third], lines) == 3
    assert [list(record.items()) for record in read(lines)] == [
        [("id", "1"), ("a", 1), ("b", None)],
        [("id", "2"), ("a", None), ("b", "x")],
        [("id", "3"), ("a", 3), ("b", "z")],
    ]


def test_frames_with_the_same_columns_in_another_order_get_one_order(lines):
    write_records([pandas.DataFrame({"a": [1], "b": [2]}), pandas.DataFrame({"b": [3], "a": [4]})], lines)
    assert [list(record.items()) for record in read(lines)] == [[("a", 1), ("b", 2)], [("a", 4), ("b", 3)]]


def test_a_frame_without_rows_gives_no_column(lines):
    empty = pandas.DataFrame({"gone": []})
    assert write_records([empty, column(1), empty, column(2)], lines) == 2
    assert read(lines) == [{"x": 1}, {"x": 2}]


def test_evening_out_keeps_what_only_the_slow_way_can_write(lines):
    values = [2**80, "\ud83d", math.nan, 0.1, 9007199254740993]
    write_records([column(*values), pandas.DataFrame({"y": [1]})], lines)
    assert [record["x"] for record in read(lines)] == [2**80, "\ud83d", None, 0.1, 9007199254740993, None]


def test_a_later_frame_that_cannot_be_written_leaves_the_old_file(lines):
    lines.write_text("old\n")
    with pytest.raises(PermanentError):
        write_records([column(1), column(object())], lines)
    assert lines.read_text() == "old\n"


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "c.d", "id", "answer.id"]), JSON, max_size=3), min_size=1, max_size=6
    ),
    st.lists(st.integers(1, 3), min_size=6, max_size=6),
)
def test_the_records_of_parts_are_those_of_the_whole(answers, sizes):
    def frame(numbers) -> pandas.DataFrame:
        return pandas.DataFrame(
            {
                "id": pandas.Series([str(number) for number in numbers], dtype=object),
                ANSWER: pandas.Series([answers[number] for number in numbers], dtype=object),
            }
        )

    numbers = iter(range(len(answers)))
    parts = [part for size in sizes if (part := list(itertools.islice(numbers, size)))]
    with tempfile.TemporaryDirectory() as folder:
        whole, several = Path(folder) / "whole.jsonl", Path(folder) / "parts.jsonl"
        write_records([flatten(frame(range(len(answers))))], whole)
        write_records((flatten(frame(part)) for part in parts), several)
        assert [list(record.items()) for record in read(several)] == [list(record.items()) for record in read(whole)]


def test_one_output_is_an_array_with_a_record_a_line(tmp_path, lines):
    output = tmp_path / "output.json"
    assert paths(published(jsonl(lines, {"id": "1"}, {"id": "2"}), output, "id")) == [output]
    assert output.read_text() == '[\n{"id": "1"},\n{"id": "2"}\n]\n'


def test_what_was_published_comes_with_its_true_size_and_digest(tmp_path, lines):
    records = [{"id": str(number), "text": "Москва" * number} for number in range(100)]
    (made,) = published(jsonl(lines, *records), tmp_path / "output.json", "id")
    content = (tmp_path / "output.json").read_bytes()
    assert made == Published(str(tmp_path / "output.json"), len(content), hashlib.sha256(content).hexdigest())
    assert json.loads(content) == records


def test_each_file_of_a_key_comes_with_its_own_size_and_digest(tmp_path, lines):
    made = published(jsonl(lines, {"id": "a"}, {"id": "b"}, {"id": "b", "n": 1}), tmp_path / "{id}.json", "id")
    assert [Path(file.path).name for file in made] == ["a.json", "b.json"]
    for file in made:
        content = Path(file.path).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_no_records_are_an_empty_array(tmp_path, lines):
    (made,) = published(jsonl(lines), tmp_path / "output.json", "id")
    assert json.loads((tmp_path / "output.json").read_text()) == []
    assert (made.bytes, made.sha256) == (3, hashlib.sha256(b"[]\n").hexdigest())


def test_no_records_are_no_file_where_each_key_has_its_own(tmp_path, lines):
    assert published(jsonl(lines), tmp_path / "{id}.json", "id") == []


def test_braces_in_the_path_of_an_output_are_written_doubled(tmp_path, lines):
    assert paths(published(jsonl(lines, {"id": "1"}), tmp_path / "{{a}}.json", "id")) == [tmp_path / "{a}.json"]


def test_publishing_replaces_the_old_output(tmp_path, lines):
    output = tmp_path / "output.json"
    output.write_text("[1, 2, 3]")
    published(jsonl(lines, {"id": "1"}), output, "id")
    assert json.loads(output.read_text()) == [{"id": "1"}]


def test_an_output_that_names_the_key_is_one_file_a_key(tmp_path, lines):
    made = published(
        jsonl(lines, {"symbol": "FB", "n": 1}, {"symbol": "FB", "n": 2}, {"symbol": "AAPL", "n": 3}),
        tmp_path / "results" / "{symbol}.json",
        "symbol",
    )
    assert paths(made) == [tmp_path / "results" / "FB.json", tmp_path / "results" / "AAPL.json"]
    assert [[record["n"] for record in json.loads(path.read_text())] for path in paths(made)] == [[1, 2], [3]]


def test_a_file_is_there_as_soon_as_it_is_told(tmp_path, lines):
    files = publish(jsonl(lines, {"id": "a"}, {"id": "b"}), str(tmp_path / "{id}.json"), "id", lambda text: Path(text))
    next(files)
    assert ((tmp_path / "a.json").exists(), (tmp_path / "b.json").exists()) == (True, False)


def test_a_key_cannot_lead_out_of_the_outputs_folder(tmp_path, lines):
    made = published(jsonl(lines, {"id": "../../x"}, {"id": ".."}), tmp_path / "results" / "{id}", "id")
    assert [path.resolve().parent for path in paths(made)] == [tmp_path / "results"] * 2


def test_a_key_that_is_a_number_names_its_file(tmp_path, lines):
    assert paths(published(jsonl(lines, {"id": 7}), tmp_path / "{id}.json", "id")) == [tmp_path / "7.json"]


@pytest.mark.parametrize("keys", [["a", "b", "a"], [1, 2, 1], [1, 2, "1"]])
def test_records_of_one_key_in_several_places_are_an_error(tmp_path, lines, keys):
    with pytest.raises(PermanentError, match=f"records of `{keys[0]}` in several places"):
        published(jsonl(lines, *({"id": key} for key in keys)), tmp_path / "{id}.json", "id")


def test_records_without_the_key_column_are_a_configuration_error(tmp_path, lines):
    with pytest.raises(ConfigError, match="no column `id`"):
        published(jsonl(lines, {"name": "a"}), tmp_path / "{id}.json", "id")


@pytest.mark.parametrize("keys", [[None], [None, "a"], ["a", None, "b"], ["a", None]])
def test_a_record_with_no_key_is_an_error_and_never_lost_in_silence(tmp_path, lines, keys):
    with pytest.raises(HeadraceError):
        published(jsonl(lines, *({"id": key} for key in keys)), tmp_path / "{id}.json", "id")


def test_long_keys_that_differ_at_their_end_do_not_overwrite_each_other(tmp_path, lines):
    keys = ["x" * 240 + end for end in "ab"]
    made = published(jsonl(lines, *({"id": key} for key in keys)), tmp_path / "{id}.json", "id")
    assert [json.loads(path.read_text())[0]["id"] for path in paths(made)] == keys


def test_a_long_key_of_another_alphabet_can_be_published(tmp_path, lines):
    made = published(jsonl(lines, {"id": "я" * 200}), tmp_path / "{id}.json", "id")
    assert json.loads(paths(made)[0].read_text()) == [{"id": "я" * 200}]


def test_an_output_that_cannot_be_written_is_an_error_with_its_path(tmp_path, lines):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match=r"file/output.json` cannot be written"):
        published(jsonl(lines, {"id": "1"}), tmp_path / "file" / "output.json", "id")


@pytest.mark.parametrize("keys", [["a", "b", None], ["a", "b", "a"]])
def test_no_file_is_replaced_where_a_later_record_cannot_be_published(tmp_path, lines, keys):
    (tmp_path / "a.json").write_text("the last good output")
    with pytest.raises(HeadraceError):
        published(jsonl(lines, *({"id": key} for key in keys)), tmp_path / "{id}.json", "id")
    assert (tmp_path / "a.json").read_text() == "the last good output"
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("output", ["output.json", "{id}.json"])
def test_publishing_takes_as_much_memory_for_many_records_as_for_few(tmp_path, lines, output):
    def peak(records: int) -> int:
        with lines.open("w") as stream:
            for number in range(records):
                stream.write(json.dumps({"id": f"{number * 4 // records}", "text": "x" * 1000}) + "\n")
        tracemalloc.start()
        made = published(lines, tmp_path / output, "id")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sum(file.bytes for file in made) > records * 1000
        return most

    peak(10)  # what is imported at first use is not counted
    assert peak(5000) < peak(500) + 50_000


def test_records_and_outputs_may_be_in_a_bucket(bucket):
    records = bucket / "run" / "records.jsonl"
    frames = [pandas.DataFrame({"id": ["a", "b"]}), pandas.DataFrame({"id": ["c d/é"], "n": [5]})]
    assert write_records(frames, records) == 3
    made = published(records, f"{bucket}/results/{{id}}.json", "id")
    assert [file.path for file in made] == [f"{bucket}/results/{name}.json" for name in ("a", "b", "c d%2Fé")]
    found = [path.read_bytes() for path in listed(bucket / "results")]
    assert [json.loads(content) for content in found] == [
        [{"id": "a", "n": None}],
        [{"id": "b", "n": None}],
        [{"id": "c d/é", "n": 5}],
    ]
    assert [file.bytes for file in made] == [len(content) for content in found]
    assert [file.sha256 for file in made] == [hashlib.sha256(content).hexdigest() for content in found]
