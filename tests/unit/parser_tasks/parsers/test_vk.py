"""The reference parser of VK's walls."""

from collections.abc import Callable
from typing import Any

import pytest

from include.common.errors import PermanentError, TransientError
from include.parser_tasks.parsers.store import Store
from include.parser_tasks.parsers.vk import Vk
from include.parser_tasks.parsers.web import TRIES, Web
from tests.stand_ins.sources import Sources
from tests.unit.parser_tasks.parsers.conftest import Clock, task

Lines = Callable[[dict[str, Any]], list[dict[str, Any]]]


def post(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "owner_id": -5,
        "date": 1000 + number,
        "text": f"Post {number}",
        "likes": {"count": 2},
        **more,
    }


@pytest.fixture
def vk(web: Web, store: Callable[[str], Store], url: str) -> Vk:
    return Vk(web, store("vk"), "vk-secret", url)


def keys(items: list[dict[str, Any]]) -> list[str]:
    return [item["key"] for item in items]


def test_a_wall_is_read_page_by_page_no_faster_than_vk_allows(
    vk: Vk, sources: Sources, lines: Lines, clock: Clock
) -> None:
    sources.posts = [post(number) for number in range(1, 251)]
    found = vk(task(1, "-5", task_type="all"))
    assert (found["items"], found["pages"]) == (250, 3)
    assert keys(lines(found))[0] == "-5_250"
    assert clock.slept == [0.34, 0.34]
    assert [form["offset"] for form in sources.forms] == ["0", "100", "200"]
    assert sources.forms[0] | {"offset": ""} == {
        "access_token": "vk-secret",
        "v": "5.199",
        "owner_id": "-5",
        "offset": "",
        "count": "100",
    }


def test_a_pinned_old_post_does_not_stop_the_reading(vk: Vk, sources: Sources, lines: Lines) -> None:
    sources.posts = [post(1, is_pinned=1), *[post(number) for number in range(2, 11)]]
    assert vk(task(1, "-5"))["items"] == 10
    sources.posts += [post(number) for number in range(11, 161)]
    found = vk(task(2, "-5"))
    assert (found["items"], found["pages"]) == (150, 2)
    assert vk(task(3, "-5"))["items"] == 0


def test_a_new_post_that_is_pinned_is_given_once(vk: Vk, sources: Sources, lines: Lines) -> None:
    sources.posts = [post(1), post(2)]
    vk(task(1, "-5"))
    sources.posts.append(post(3, is_pinned=1))
    assert keys(lines(vk(task(2, "-5")))) == ["-5_3"]
    assert vk(task(3, "-5"))["items"] == 0


def test_the_first_time_one_page_is_read_and_what_is_older_never_becomes_new(vk: Vk, sources: Sources) -> None:
    sources.posts = [post(number) for number in range(1, 301)]
    assert vk(task(1, "-5")) | {"result": ""} == {"items": 100, "pages": 1, "result": ""}
    sources.posts = sources.posts[:250]  # fifty were deleted, so older ones are on the first page
    assert vk(task(2, "-5"))["items"] == 0


def test_the_setting_says_how_many_at_most(vk: Vk, sources: Sources) -> None:
    sources.posts = [post(number) for number in range(1, 301)]
    found = vk(task(1, "-5", task_type="all", settings={"most_items": 150}))
    assert (found["items"], found["pages"]) == (150, 2)
    with pytest.raises(PermanentError, match="setting most_items of source `Source` is `0`"):
        vk(task(2, "-5", settings={"most_items": 0}))


@pytest.mark.parametrize("code", [1, 6, 9, 10, 29])
def test_errors_that_pass_are_tried_again(code: int, vk: Vk, sources: Sources) -> None:
    sources.posts = [post(1)]
    sources.fault({"error": {"error_code": code, "error_msg": "later"}})
    assert vk(task(1, "-5"))["items"] == 1
    for _ in range(TRIES):
        sources.fault({"error": {"error_code": code, "error_msg": "later"}})
    with pytest.raises(TransientError, match=f"VK says error {code}: later"):
        vk(task(2, "-5"))


@pytest.mark.parametrize("code", [5, 15, 18, 19, 30, 100, 203, 777])
def test_errors_that_stay_are_not(code: int, vk: Vk, sources: Sources) -> None:
    sources.fault({"error": {"error_code": code, "error_msg": "no"}})
    with pytest.raises(PermanentError, match=f"VK says error {code}: no$"):
        vk(task(1, "-5"))
    assert sources.calls["/method/wall.get"] == 1


@pytest.mark.parametrize("code", [14, 17])
def test_errors_that_need_a_person_say_so(code: int, vk: Vk, sources: Sources) -> None:
    sources.fault({"error": {"error_code": code, "error_msg": "Captcha needed", "captcha_sid": "1"}})
    with pytest.raises(PermanentError, match="a person has to sign in"):
        vk(task(1, "-5"))


@pytest.mark.parametrize("body", [b"<html>", b"", [], {}, {"response": 5}, {"error": None, "response": None}])
def test_an_answer_that_is_none_of_vk_s_is_tried_again(body: Any, vk: Vk, sources: Sources) -> None:
    sources.posts = [post(1)]
    sources.fault(body)
    if body == {"error": None, "response": None}:
        with pytest.raises(PermanentError):
            vk(task(1, "-5"))
    else:
        assert vk(task(1, "-5"))["items"] == 1


def test_posts_of_odd_shape_are_left_out(vk: Vk, sources: Sources) -> None:
    sources.fault({"response": {"count": 3, "items": [None, {"id": "x"}, {"id": 4, "owner_id": -5, "likes": 7}]}})
    assert vk(task(1, "-5"))["items"] == 1


@pytest.mark.parametrize(
    ("address", "field", "value"),
    [
        ("-5", "owner_id", "-5"),
        ("12", "owner_id", "12"),
        ("club5", "owner_id", "-5"),
        ("public5", "owner_id", "-5"),
        ("id12", "owner_id", "12"),
        ("https://vk.com/wall-5", "owner_id", "-5"),
        ("https://vk.com/team", "domain", "team"),
        ("https://m.vk.ru/team/", "domain", "team"),
        ("team.news", "domain", "team.news"),
    ],
)
def test_an_address_names_an_owner_or_a_domain(address: str, field: str, value: str, vk: Vk, sources: Sources) -> None:
    vk(task(1, address))
    assert sources.forms[0][field] == value
    assert len({"owner_id", "domain"} & set(sources.forms[0])) == 1


@pytest.mark.parametrize("address", ["", "https://example.com/team", "a b", "x" * 200])
def test_an_address_that_names_no_wall_is_a_sentence(address: str, vk: Vk, sources: Sources) -> None:
    with pytest.raises(PermanentError, match="names no wall"):
        vk(task(1, address))


def test_the_token_is_in_no_message(vk: Vk, sources: Sources) -> None:
    for _ in range(TRIES):
        sources.fault(status=502)
    with pytest.raises(TransientError) as raised:
        vk(task(1, "-5"))
    assert "secret" not in str(raised.value)
