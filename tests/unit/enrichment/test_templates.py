"""Templates over the columns of a row."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import ConfigError, quoted
from include.enrichment.templates import JsonTemplate, Template, templates_in


def test_fields_are_filled_with_the_rows_values():
    assert Template("request.path", "/items/{id}/{lang}").render({"id": "007", "lang": "ru"}) == "/items/007/ru"


def test_a_text_without_fields_stays_as_it_is():
    assert Template("request.path", "/items").render({}) == "/items"


def test_doubled_braces_stand_for_themselves():
    assert Template("request.json", '{{"id": "{id}"}}').render({"id": "7"}) == '{"id": "7"}'


def test_values_pass_through_the_quoting_and_the_text_around_them_does_not():
    rendered = Template("request.path", "/a b/{id}").render({"id": "x/y"}, lambda value: quote(value, safe=""))
    assert rendered == "/a b/x%2Fy"


def test_a_value_that_looks_like_a_field_is_not_filled_again():
    assert Template("request.path", "/{a}/{b}").render({"a": "{b}", "b": "2"}) == "/{b}/2"


def test_a_percent_sign_is_text_like_any_other():
    assert Template("request.path", "/100%/%s/{id}%d").render({"id": "5%"}) == "/100%/%s/5%%d"


def test_columns_with_spaces_and_other_alphabets_are_fields_too():
    template = Template("request.path", "/{код товара}/{ id }")
    assert template.columns == ("код товара", "id")
    assert template.render({"код товара": "а1", "id": "2"}) == "/а1/2"


def test_columns_are_listed_once_in_order_of_appearance():
    assert Template("request.path", "/{b}/{a}/{b}").columns == ("b", "a")


@pytest.mark.parametrize("text", ["/{id", "/id}", "/{}", "/{ }", "/{id!r}", "/{id:>3}", "/{0:d}"])
def test_what_is_no_template_is_an_error_with_its_name_and_text(text):
    with pytest.raises(ConfigError) as caught:
        Template("request.path", text)
    assert f"request.path is `{text}`" in str(caught.value)
    assert "allowed is" in str(caught.value)


def test_attributes_and_items_of_a_value_cannot_be_reached():
    template = Template("request.path", "/{id.__class__}")
    with pytest.raises(ConfigError, match=r"no column `id\.__class__`"):
        template.check_columns(("id",))


def test_an_unknown_field_names_it_and_the_columns_found():
    with pytest.raises(ConfigError) as caught:
        Template("request.query.symbol", "{ticker}").check_columns(("symbol", "company"))
    assert "request.query.symbol is `{ticker}`" in str(caught.value)
    assert "no column `ticker`" in str(caught.value)
    assert "`symbol`, `company`" in str(caught.value)


def test_known_fields_pass():
    Template("request.path", "/{id}").check_columns(("id", "country"))


def test_a_long_list_of_columns_is_cut_with_its_length():
    shown = quoted(tuple(f"c{index}" for index in range(100)))
    assert shown.startswith("`c0`, `c1`")
    assert shown.endswith("`c19`, … (100 in all)")


def test_every_text_in_a_json_body_is_a_template_with_a_name_that_leads_to_it():
    found = templates_in("request.json", {"user": {"id": "{id}"}, "tags": ["{tag}", 5, None]})
    assert [(template.name, template.text) for template in found] == [
        ("request.json.user.id", "{id}"),
        ("request.json.tags[0]", "{tag}"),
    ]


def test_a_json_body_keeps_its_numbers_and_its_keys():
    body = {"{id}": "{id}", "n": 5, "on": True, "nothing": None, "list": ["{id}", 1.5]}
    assert JsonTemplate("request.json", body).render({"id": "7"}) == {
        "{id}": "7",
        "n": 5,
        "on": True,
        "nothing": None,
        "list": ["7", 1.5],
    }


def test_a_json_body_is_made_anew_for_every_row():
    template = JsonTemplate("request.json", {"tags": ["{id}"]})
    first, second = template.render({"id": "1"}), template.render({"id": "2"})
    assert (first, second) == ({"tags": ["1"]}, {"tags": ["2"]})


def test_a_text_in_a_json_body_that_is_no_template_is_an_error():
    with pytest.raises(ConfigError, match=r"request\.json is `\{id`"):
        JsonTemplate("request.json", {"a": ["{id"]})


def test_a_value_cannot_break_out_of_its_text_in_a_json_body():
    assert JsonTemplate("request.json", {"id": "{id}"}).render({"id": '", "admin": true, "x": "'}) == {
        "id": '", "admin": true, "x": "'
    }


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(), min_size=1, max_size=4))
def test_rendering_puts_every_value_where_its_field_is(row):
    template = Template("request.path", "|".join(f"{{{name}}}" for name in row))
    assert template.render(row) == "|".join(row.values())
