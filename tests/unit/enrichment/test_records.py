"""From a frame to JSON, published whole."""

import datetime
import decimal
import enum
import hashlib
import json
import math
import uuid

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import ConfigError, HeadraceError, PermanentError
from include.enrichment.records import plain, publish, sha256, write_records


@pytest.fixture
def lines(tmp_path):
    return tmp_path / "records.jsonl"


def written(frame: pandas.DataFrame, lines) -> list[dict]:
    """The records as a strict reader of JSON finds them."""
    assert write_records(frame, lines) == len(frame)
    return [json.loads(line, parse_constant=refuse) for line in lines.read_text("utf-8").splitlines()]


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
    write_records(frame, lines)
    assert lines.read_text() == '{"z": "1", "a": "2", "m": "3"}\n'


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
    write_records(pandas.DataFrame({"город": ["Москва 🎄"]}), lines)
    assert lines.read_bytes() == '{"город": "Москва 🎄"}\n'.encode()


def test_half_a_surrogate_pair_is_escaped_and_the_file_stays_utf_8(lines):
    frame = pandas.DataFrame({"text": pandas.Series(["a\ud83db"], dtype=object)})
    assert written(frame, lines) == [{"text": "a\ud83db"}]


def test_columns_that_repeat_a_name_are_a_configuration_error(lines):
    frame = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ConfigError, match="'a'"):
        write_records(frame, lines)


def test_columns_that_differ_as_numbers_and_text_only_are_repeated_too(lines):
    with pytest.raises(ConfigError, match="'1'"):
        write_records(pandas.DataFrame([[1, 2]], columns=[1, "1"]), lines)


def test_an_empty_frame_is_no_record(lines):
    assert written(pandas.DataFrame({"a": []}), lines) == []
    assert write_records(pandas.DataFrame(), lines) == 0


def test_a_value_that_cannot_be_written_leaves_the_old_file(lines):
    lines.write_text("old\n")
    frame = pandas.DataFrame({"a": pandas.Series([1, object()], dtype=object)})
    with pytest.raises(PermanentError, match="`a` is a object"):
        write_records(frame, lines)
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


def test_one_output_is_an_array_with_a_record_a_line(tmp_path, lines):
    output = tmp_path / "output.json"
    assert publish(jsonl(lines, {"id": "1"}, {"id": "2"}), str(output), "id") == [output]
    assert output.read_text() == '[\n{"id": "1"},\n{"id": "2"}\n]\n'


def test_no_records_are_an_empty_array(tmp_path, lines):
    output = tmp_path / "output.json"
    publish(jsonl(lines), str(output), "id")
    assert json.loads(output.read_text()) == []


def test_braces_in_the_path_of_an_output_are_written_doubled(tmp_path, lines):
    assert publish(jsonl(lines, {"id": "1"}), str(tmp_path / "{{a}}.json"), "id") == [tmp_path / "{a}.json"]


def test_publishing_replaces_the_old_output(tmp_path, lines):
    output = tmp_path / "output.json"
    output.write_text("[1, 2, 3]")
    publish(jsonl(lines, {"id": "1"}), str(output), "id")
    assert json.loads(output.read_text()) == [{"id": "1"}]


def test_an_output_that_names_the_key_is_one_file_a_key(tmp_path, lines):
    made = publish(
        jsonl(lines, {"symbol": "FB", "n": 1}, {"symbol": "FB", "n": 2}, {"symbol": "AAPL", "n": 3}),
        str(tmp_path / "results" / "{symbol}.json"),
        "symbol",
    )
    assert made == [tmp_path / "results" / "FB.json", tmp_path / "results" / "AAPL.json"]
    assert [[record["n"] for record in json.loads(path.read_text())] for path in made] == [[1, 2], [3]]


def test_a_key_cannot_lead_out_of_the_outputs_folder(tmp_path, lines):
    made = publish(jsonl(lines, {"id": "../../x"}, {"id": ".."}), str(tmp_path / "results" / "{id}"), "id")
    assert [path.resolve().parent for path in made] == [tmp_path / "results"] * 2


def test_a_key_that_is_a_number_names_its_file(tmp_path, lines):
    assert publish(jsonl(lines, {"id": 7}), str(tmp_path / "{id}.json"), "id") == [tmp_path / "7.json"]


def test_records_of_one_key_in_several_places_are_an_error(tmp_path, lines):
    with pytest.raises(PermanentError, match="records of `a` in several places"):
        publish(jsonl(lines, {"id": "a"}, {"id": "b"}, {"id": "a"}), str(tmp_path / "{id}.json"), "id")


def test_records_of_one_number_in_several_places_are_an_error_too(tmp_path, lines):
    with pytest.raises(PermanentError, match="records of `1` in several places"):
        publish(jsonl(lines, {"id": 1}, {"id": 2}, {"id": 1}), str(tmp_path / "{id}.json"), "id")


def test_records_without_the_key_column_are_a_configuration_error(tmp_path, lines):
    with pytest.raises(ConfigError, match="no column `id`"):
        publish(jsonl(lines, {"name": "a"}), str(tmp_path / "{id}.json"), "id")


@pytest.mark.parametrize("keys", [[None], [None, "a"], ["a", None, "b"], ["a", None]])
def test_a_record_with_no_key_is_an_error_and_never_lost_in_silence(tmp_path, lines, keys):
    with pytest.raises(HeadraceError):
        publish(jsonl(lines, *({"id": key} for key in keys)), str(tmp_path / "{id}.json"), "id")


def test_long_keys_that_differ_at_their_end_do_not_overwrite_each_other(tmp_path, lines):
    keys = ["x" * 240 + end for end in "ab"]
    made = publish(jsonl(lines, *({"id": key} for key in keys)), str(tmp_path / "{id}.json"), "id")
    assert [json.loads(path.read_text())[0]["id"] for path in made] == keys


def test_a_long_key_of_another_alphabet_can_be_published(tmp_path, lines):
    made = publish(jsonl(lines, {"id": "я" * 200}), str(tmp_path / "{id}.json"), "id")
    assert json.loads(made[0].read_text()) == [{"id": "я" * 200}]


def test_an_output_that_cannot_be_written_is_an_error_with_its_path(tmp_path, lines):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match=r"file/output.json` cannot be written"):
        publish(jsonl(lines, {"id": "1"}), str(tmp_path / "file" / "output.json"), "id")


def test_the_sha_256_is_that_of_the_files_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 1000)
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 1000).hexdigest()


@pytest.mark.parametrize("keys", [["a", "b", None], ["a", "b", "a"]])
def test_no_file_is_replaced_where_a_later_record_cannot_be_published(tmp_path, lines, keys):
    (tmp_path / "a.json").write_text("the last good output")
    with pytest.raises(HeadraceError):
        publish(jsonl(lines, *({"id": key} for key in keys)), str(tmp_path / "{id}.json"), "id")
    assert (tmp_path / "a.json").read_text() == "the last good output"
    assert not (tmp_path / "b.json").exists()
