"""The reference parser of YouTube's channels."""

from collections.abc import Callable
from typing import Any

import pytest

from include.common.errors import PermanentError, TransientError
from include.parser_tasks.parsers.store import Store
from include.parser_tasks.parsers.web import TRIES, Web
from include.parser_tasks.parsers.youtube import Youtube
from tests.stand_ins.sources import Sources
from tests.unit.parser_tasks.parsers.conftest import task

Lines = Callable[[dict[str, Any]], list[dict[str, Any]]]
CHANNEL = "UC" + "a" * 22
API = "/youtube/v3"


def video(number: int, private: bool = False) -> dict[str, Any]:
    return {"id": f"v{number}", "at": "" if private else f"2027-01-01T00:{number // 60:02}:{number % 60:02}Z"}


@pytest.fixture
def youtube(web: Web, store: Callable[[str], Store], sources: Sources, url: str) -> Youtube:
    sources.channels = {CHANNEL: "UU" + "a" * 22, "@team": "UU" + "b" * 22, "team": "UU" + "c" * 22}
    return Youtube(web, store("youtube"), "yt-secret", f"{url}/youtube/v3")


def error(reason: str, code: int = 403) -> dict[str, Any]:
    return {"error": {"code": code, "message": "no", "errors": [{"reason": reason}]}}


def test_a_list_is_read_the_cheap_way(youtube: Youtube, sources: Sources, lines: Lines) -> None:
    sources.videos = [video(number) for number in range(120, 0, -1)]
    found = youtube(task(1, CHANNEL, task_type="all"))
    assert (found["items"], found["units"], found["unavailable"]) == (120, 7, 0)
    assert sources.calls == {f"{API}/channels": 1, f"{API}/playlistItems": 3, f"{API}/videos": 3}
    item = lines(found)[0]
    assert (item["key"], item["views"], item["duration"]) == ("v120", 12, "PT3M")
    assert "likes" not in item  # the owner hides them


def test_the_channel_is_asked_once_and_then_only_what_is_new(youtube: Youtube, sources: Sources, lines: Lines) -> None:
    sources.videos = [video(number) for number in range(120, 0, -1)]
    assert youtube(task(1, CHANNEL)) | {"result": ""} == {"items": 50, "units": 3, "unavailable": 0, "result": ""}
    sources.videos = [video(122), video(121), *sources.videos]
    found = youtube(task(2, CHANNEL))
    assert ([item["key"] for item in lines(found)], found["units"]) == (["v122", "v121"], 2)
    # Nothing new costs one unit.
    assert youtube(task(3, CHANNEL)) | {"result": ""} == {"items": 0, "units": 1, "unavailable": 0, "result": ""}


def test_a_private_video_is_new_on_the_day_it_can_be_seen(youtube: Youtube, sources: Sources, lines: Lines) -> None:
    sources.videos = [video(3, private=True), video(2), video(1)]
    found = youtube(task(1, CHANNEL))
    assert (found["items"], found["unavailable"]) == (2, 1)
    assert youtube(task(2, CHANNEL))["items"] == 0
    sources.videos[0] = video(3)
    assert [item["key"] for item in lines(youtube(task(3, CHANNEL)))] == ["v3"]


@pytest.mark.parametrize(
    ("address", "calls"),
    [
        (CHANNEL, 1),
        (f"https://www.youtube.com/channel/{CHANNEL}", 1),
        (f"https://www.youtube.com/feeds/videos.xml?channel_id={CHANNEL}", 1),
        ("@team", 1),
        ("https://youtube.com/@team/videos", 1),
        ("https://www.youtube.com/user/team", 1),
        ("PL" + "x" * 20, 0),
        ("https://www.youtube.com/playlist?list=PL" + "x" * 20, 0),
    ],
)
def test_an_address_names_a_channel_or_a_playlist(address: str, calls: int, youtube: Youtube, sources: Sources) -> None:
    sources.videos = [video(1)]
    assert youtube(task(1, address))["items"] == 1
    assert sources.calls[f"{API}/channels"] == calls


@pytest.mark.parametrize("address", ["", "https://example.com/@team", "a b", "UCshort"])
def test_an_address_that_names_no_channel_is_a_sentence(address: str, youtube: Youtube, sources: Sources) -> None:
    with pytest.raises(PermanentError, match="names no channel"):
        youtube(task(1, address))
    assert not sources.calls


def test_a_channel_that_is_not_there_is_a_sentence(youtube: Youtube) -> None:
    with pytest.raises(PermanentError, match="YouTube has no channel `@nobody`"):
        youtube(task(1, "@nobody"))


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded"])
def test_a_rate_that_is_exceeded_is_tried_again(reason: str, youtube: Youtube, sources: Sources) -> None:
    sources.videos = [video(1)]
    sources.fault(error(reason), status=403)
    assert youtube(task(1, CHANNEL))["items"] == 1


def test_a_day_s_quota_that_is_used_up_is_not(youtube: Youtube, sources: Sources) -> None:
    sources.fault(error("quotaExceeded"), status=403)
    with pytest.raises(PermanentError, match="used up until midnight in California"):
        youtube(task(1, CHANNEL))
    assert sum(sources.calls.values()) == 1


@pytest.mark.parametrize(("reason", "status"), [("playlistNotFound", 404), ("keyInvalid", 400), ("forbidden", 403)])
def test_what_is_refused_is_a_sentence(reason: str, status: int, youtube: Youtube, sources: Sources) -> None:
    sources.fault(error(reason, status), status=status)
    with pytest.raises(PermanentError, match=f"YouTube answered {status} {reason}: no"):
        youtube(task(1, CHANNEL))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_no_json_is_tried_again(body: bytes, youtube: Youtube, sources: Sources) -> None:
    sources.videos = [video(1)]
    sources.fault(body)
    assert youtube(task(1, CHANNEL))["items"] == 1
    for _ in range(TRIES):
        sources.fault(body, status=404)
    with pytest.raises(TransientError, match="no JSON object"):
        youtube(task(2, CHANNEL))


def test_answers_of_odd_shape_break_nothing(youtube: Youtube, sources: Sources) -> None:
    sources.fault({"items": [None]})
    with pytest.raises(PermanentError, match="has no channel"):
        youtube(task(1, CHANNEL))
    sources.fault({"items": [{"contentDetails": {"relatedPlaylists": {"uploads": "UU1"}}}]})
    sources.fault({"items": [None, {"contentDetails": {"videoId": 5}}, {}], "nextPageToken": 7})
    assert youtube(task(2, CHANNEL))["items"] == 0


def test_the_key_is_in_no_address_and_no_message(youtube: Youtube, sources: Sources) -> None:
    for _ in range(TRIES):
        sources.fault(status=503)
    with pytest.raises(TransientError) as raised:
        youtube(task(1, CHANNEL))
    assert "secret" not in str(raised.value)
