"""Transforms: from answers to the frame of records."""

import math

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import ConfigError, PermanentError
from include.enrichment.transforms import ANSWER, SERIES, daily_series, flatten, load


def frame(*rows: tuple, columns: tuple = ("id",)) -> pandas.DataFrame:
    """A frame as `results.frames` makes them: the input's columns as text, then the answer."""
    names = [*columns, ANSWER]
    return pandas.DataFrame(
        {name: pandas.Series([row[index] for row in rows], dtype=object) for index, name in enumerate(names)}
    )


def records(result: pandas.DataFrame) -> list[dict]:
    return result.to_dict("records")


def test_fields_of_the_answer_become_columns_behind_the_inputs():
    result = flatten(frame(("004", "Asia", {"name": "Afghanistan", "code": "AFG"}), columns=("id", "continent")))
    assert list(result.columns) == ["id", "continent", "name", "code"]
    assert records(result) == [{"id": "004", "continent": "Asia", "name": "Afghanistan", "code": "AFG"}]


def test_nested_objects_become_columns_named_with_dots():
    result = flatten(frame(("1", {"latest": {"year": 2007, "by": {"sex": "f"}}})))
    assert records(result) == [{"id": "1", "latest.year": 2007, "latest.by.sex": "f"}]


def test_lists_stay_lists():
    assert records(flatten(frame(("1", {"tags": ["a", {"b": 1}]})))) == [{"id": "1", "tags": ["a", {"b": 1}]}]


def test_the_names_are_those_of_json_normalize():
    answer = {"a": {"b": 1, "c": {"d": [1, 2], "e": None}}, "f": "g"}
    assert set(flatten(frame(("1", answer))).columns) == {"id", *pandas.json_normalize([answer]).columns}


def test_integers_stay_integers_where_other_rows_have_gaps():
    result = flatten(frame(("1", {"n": 9007199254740993}), ("2", {}), ("3", {"n": None}), ("4", {"n": 5})))
    found = list(result["n"])
    assert found == [9007199254740993, None, None, 5]
    assert [type(value) for value in found] == [int, type(None), type(None), int]


def test_ids_stay_text():
    assert records(flatten(frame(("007", {"n": 1})))) == [{"id": "007", "n": 1}]


def test_values_keep_their_types():
    answer = {"i": 1, "f": 1.5, "b": True, "s": "007", "n": None, "big": 2**80}
    found = records(flatten(frame(("1", answer), ("2", answer))))[0]
    assert {name: (type(found[name]), found[name]) for name in answer} == {
        name: (type(value), value) for name, value in answer.items()
    }


def test_a_field_named_like_an_input_column_does_not_hide_it():
    result = flatten(frame(("007", {"id": 7, "name": "Bond"})))
    assert records(result) == [{"id": "007", "answer.id": 7, "name": "Bond"}]


@pytest.mark.parametrize("answer", [5, "text", None, True, [1, 2]])
def test_an_answer_that_is_no_object_stays_whole(answer):
    assert records(flatten(frame(("1", answer)))) == [{"id": "1", "answer": answer}]


def test_columns_come_in_order_of_first_appearance():
    result = flatten(frame(("1", {"b": 1}), ("2", {"a": 1, "b": 2}), ("3", {"c": 1})))
    assert list(result.columns) == ["id", "b", "a", "c"]


def test_an_empty_answer_leaves_the_inputs_columns():
    assert records(flatten(frame(("1", {})))) == [{"id": "1"}]


def test_the_frame_handed_in_is_not_changed():
    given_frame = frame(("1", {"a": {"b": 1}}))
    before = records(given_frame.copy(deep=True))
    flatten(given_frame)
    assert records(given_frame) == before


NAMES = st.text("abcdefgh", min_size=1, max_size=3)
ANSWERS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2)),
    lambda children: st.dictionaries(NAMES, children, min_size=1, max_size=3),
    max_leaves=8,
)


def at(answer, path: str):
    for name in path.split("."):
        answer = answer[name]
    return answer


@given(st.lists(st.dictionaries(NAMES, ANSWERS, min_size=1, max_size=3), min_size=1, max_size=5))
def test_every_leaf_is_found_under_its_path(answers):
    result = flatten(frame(*((str(number), answer) for number, answer in enumerate(answers))))
    assert len(result) == len(answers)
    for row, answer in zip(records(result), answers, strict=True):
        for path, value in row.items():
            if path == "id":
                continue
            try:
                expected = at(answer, path)
            except (KeyError, TypeError):
                expected = None
            assert (type(value), value) == (type(expected), expected) or isinstance(expected, dict)


DAYS = {
    "2013-03-01": {"1. open": "438.0000", "5. volume": "19730300"},
    "2013-02-28": {"1. open": "444.0500", "5. volume": "11518400"},
}


def test_a_series_becomes_a_record_a_day_sorted_by_date():
    result = daily_series(frame(("AAPL", "Apple", {SERIES: DAYS}), columns=("symbol", "company")))
    assert records(result) == [
        {"symbol": "AAPL", "company": "Apple", "Date": "2013-02-28", "open": 444.05, "volume": 11518400},
        {"symbol": "AAPL", "company": "Apple", "Date": "2013-03-01", "open": 438.0, "volume": 19730300},
    ]


def test_the_records_of_a_symbol_stand_together_in_input_order():
    result = daily_series(frame(("FB", {SERIES: DAYS}), ("AAPL", {SERIES: DAYS}), columns=("symbol",)))
    assert list(result["symbol"]) == ["FB", "FB", "AAPL", "AAPL"]


def test_a_figure_that_only_some_days_have_leaves_a_gap():
    days = {"2013-02-28": {"1. open": "1.5"}, "2013-03-01": {"1. open": "2.5", "8. split": "2"}}
    found = list(daily_series(frame(("A", {SERIES: days}), columns=("symbol",)))["split"])
    assert found[1] == 2
    assert found[0] is None or math.isnan(found[0])


def test_whole_figures_are_integers_and_others_are_not():
    days = {"2013-02-28": {"1. open": "12.3400", "2. change": "-3", "5. volume": "100"}}
    found = records(daily_series(frame(("A", {SERIES: days}), columns=("symbol",))))[0]
    assert (found["open"], found["change"], found["volume"]) == (12.34, -3, 100)
    assert (type(found["open"]), type(found["volume"])) == (float, int)


@pytest.mark.parametrize("figures", [{"1. open": "n/a"}, {"1. open": None}, "closed", None, ["1"]])
def test_a_figure_that_is_no_number_is_a_permanent_error_with_its_day(figures):
    with pytest.raises(PermanentError, match="the figures of 2013-02-28 are"):
        daily_series(frame(("A", {SERIES: {"2013-02-28": figures}}), columns=("symbol",)))


def test_a_transform_is_found_by_its_name():
    assert load("include.enrichment.transforms:flatten") is flatten


@pytest.mark.parametrize(
    "name", ["no.such.module:flatten", "include.enrichment.transforms:no_such", "include.enrichment.transforms:ANSWER"]
)
def test_a_transform_that_is_not_there_is_a_configuration_error_with_its_name(name):
    with pytest.raises(ConfigError, match=f"^transform is `{name}`"):
        load(name)


@pytest.mark.parametrize(
    ("answer", "record"),
    [
        ({"a.b": 1, "a": {"b": 2}}, {"id": "1", "a.b": 1, "answer.a.b": 2}),
        ({"id": 7, "answer": {"id": 8}}, {"id": "1", "answer.id": 7, "answer.answer.id": 8}),
        ({"": 1, "answer": 2}, {"id": "1", "answer": 1, "answer.answer": 2}),
    ],
)
def test_no_field_covers_another(answer, record):
    assert records(flatten(frame(("1", answer)))) == [record]


def test_an_earlier_output_can_be_the_input():
    result = flatten(frame(("1", "x", {"id": 7}), columns=("id", "answer.id")))
    assert records(result) == [{"id": "1", "answer.id": "x", "answer.answer.id": 7}]


NAMED = st.builds(
    lambda depth, name: "answer." * depth + name,
    st.integers(0, 3),
    st.sampled_from(["id", "a", "a.b", "answer", "answer.", "b"]),
)
INPUTS = st.lists(NAMED, min_size=1, max_size=4, unique=True)
FIELDS = st.one_of(NAMED, st.sampled_from(["", ".", "a", "b"]))
NESTED = st.recursive(
    st.one_of(st.none(), st.integers(0, 5), st.lists(st.integers(0, 5), max_size=2)),
    lambda children: st.dictionaries(FIELDS, children, max_size=3),
    max_leaves=6,
)


def framed(inputs: list[str], answers: list, start: int = 0) -> pandas.DataFrame:
    rows = [
        (*(f"input {number} {column}" for column in inputs), answer) for number, answer in enumerate(answers, start)
    ]
    return frame(*rows, columns=tuple(inputs))


def without_gaps(record: dict) -> dict:
    return {name: value for name, value in record.items() if value is not None and value == value}


@given(inputs=INPUTS, answers=st.lists(NESTED, min_size=1, max_size=5), cut=st.integers(0, 5))
def test_parts_name_their_columns_as_the_whole_does(inputs, answers, cut):
    whole = flatten(framed(inputs, answers))
    parts = [flatten(framed(inputs, answers[:cut])), flatten(framed(inputs, answers[cut:], cut))]
    names = dict.fromkeys(name for part in parts if len(part) for name in part)
    assert list(names) == list(whole.columns)
    assert [without_gaps(record) for part in parts for record in records(part)] == [
        without_gaps(record) for record in records(whole)
    ]


def leaves(answer) -> list:
    """Every value of an answer that is no object; of an empty one inside, nothing."""
    if not isinstance(answer, dict):
        return [answer]
    return [leaf for item in answer.values() for leaf in leaves(item)]


@given(inputs=INPUTS, answer=NESTED)
def test_no_value_covers_another(inputs, answer):
    made = flatten(framed(inputs, [answer]))
    assert made.columns.is_unique
    (record,) = records(made)
    assert {column: record[column] for column in inputs} == {column: f"input 0 {column}" for column in inputs}
    added = [value for name, value in record.items() if name not in inputs and value is not None]
    assert sorted(map(repr, added)) == sorted(repr(leaf) for leaf in leaves(answer) if leaf is not None)


@pytest.mark.parametrize(
    ("inputs", "fields", "columns"),
    [
        (["id"], ["id", "answer.id"], ["answer.id", "answer.answer.id"]),
        (["id", "answer.id"], ["id", "answer.id"], ["answer.answer.id", "answer.answer.answer.id"]),
        (["answer.id"], ["id"], ["answer.answer.id"]),
        (["answer"], ["answer", "id"], ["answer.answer", "id"]),
        (["id"], ["name", "answer.name"], ["name", "answer.name"]),
    ],
)
def test_a_field_is_named_by_the_inputs_columns_alone(inputs, fields, columns):
    for field, column in zip(fields, columns, strict=True):
        alone = flatten(framed(inputs, [{field: 1}]))
        assert list(alone.columns) == [*inputs, column]
    together = flatten(framed(inputs, [dict.fromkeys(fields, 1)]))
    assert list(together.columns) == [*inputs, *columns]
