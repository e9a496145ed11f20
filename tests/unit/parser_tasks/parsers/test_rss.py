"""The reference parser of feeds."""

from collections.abc import Callable
from typing import Any

import pytest

from include.common.errors import PermanentError, TransientError
from include.parser_tasks.parsers.rss import LONGEST_KEY, Rss
from include.parser_tasks.parsers.store import Store
from include.parser_tasks.parsers.web import TRIES, Web
from include.parser_tasks.worker import SourceGoneError
from tests.stand_ins.sources import Sources
from tests.unit.parser_tasks.parsers.conftest import Clock, task

Lines = Callable[[dict[str, Any]], list[dict[str, Any]]]


def feed(*items: str, head: str = '<?xml version="1.0" encoding="utf-8"?>') -> bytes:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f'{head}<rss version="2.0"><channel><title>News</title>{inside}</channel></rss>'.encode()


def entry(number: int) -> str:
    return f"<guid>g{number}</guid><title>Title {number}</title><link>https://example.com/{number}</link>"


@pytest.fixture
def rss(web: Web, store: Callable[[str], Store]) -> Rss:
    return Rss(web, store("rss"))


def keys(items: list[dict[str, Any]]) -> list[str]:
    return [item["key"] for item in items]


def test_latest_gives_each_entry_once_and_all_gives_what_is_there(
    rss: Rss, sources: Sources, url: str, lines: Lines
) -> None:
    sources.feed = feed(entry(2), entry(1))
    first = rss(task(1, f"{url}/feed"))
    assert keys(lines(first)) == ["g2", "g1"]
    assert first["result"] == f"parser-tasks/rss/7/{task(1).task_id}.jsonl"
    sources.feed = feed(entry(3), entry(2), entry(1))
    second = rss(task(2, f"{url}/feed"))
    assert (keys(lines(second)), second["items"], second["in_feed"]) == (["g3"], 1, 3)
    assert keys(lines(rss(task(3, f"{url}/feed", task_type="all")))) == ["g3", "g2", "g1"]
    sources.feed = feed(entry(4), entry(3))
    assert keys(lines(rss(task(4, f"{url}/feed")))) == ["g4"]


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_a_feed_that_has_not_changed_is_not_sent_again(name: str, rss: Rss, sources: Sources, url: str) -> None:
    sources.feed, sources.feed_headers = feed(entry(1)), {name: '"v1"'}
    rss(task(1, f"{url}/feed"))
    again = rss(task(2, f"{url}/feed"))
    assert (again["items"], again["unchanged"]) == (0, True)
    # All of it is wanted, whether it has changed or not.
    assert rss(task(3, f"{url}/feed", task_type="all"))["items"] == 1
    assert rss(task(4, f"{url}/feed"))["unchanged"]


def test_tags_that_are_no_more_are_forgotten(rss: Rss, sources: Sources, url: str) -> None:
    sources.feed, sources.feed_headers = feed(entry(1)), {"ETag": '"v1"'}
    rss(task(1, f"{url}/feed"))
    sources.feed, sources.feed_headers = feed(entry(2)), {}
    rss(task(2, f"{url}/feed"))
    rss(task(3, f"{url}/feed"))
    assert ["If-None-Match" in headers for headers in sources.seen_headers] == [False, True, False]


def test_a_feed_that_has_moved_for_good_is_asked_at_its_new_address(rss: Rss, sources: Sources, url: str) -> None:
    sources.feed = feed(entry(1))
    sources.fault(status=301, Location="/moved")
    assert rss(task(1, f"{url}/feed"))["moved_to"] == f"{url}/moved"
    rss(task(2, f"{url}/feed"))
    assert sources.calls == {"/feed": 1, "/moved": 2}
    # A person gave the source another address: that one is asked.
    assert rss(task(3, f"{url}/feed?new"))["items"] == 1
    assert sources.calls["/feed"] == 2


def test_a_feed_that_has_moved_for_now_is_asked_where_it_was(rss: Rss, sources: Sources, url: str) -> None:
    sources.feed = feed(entry(1))
    sources.fault(status=302, Location="/moved")
    rss(task(1, f"{url}/feed"))
    rss(task(2, f"{url}/feed"))
    assert sources.calls == {"/feed": 2, "/moved": 1}


def test_410_ends_the_source_and_nothing_else_does(rss: Rss, sources: Sources, url: str, clock: Clock) -> None:
    sources.fault(status=410)
    with pytest.raises(SourceGoneError):
        rss(task(1, f"{url}/feed"))
    sources.feed = feed(entry(1))
    for status in (404, 500):
        sources.fault(status=status)
    assert rss(task(2, f"{url}/feed"))["items"] == 1
    for _ in range(TRIES):
        sources.fault(status=404)
    with pytest.raises(TransientError, match="answered 404"):
        rss(task(3, f"{url}/feed"))
    sources.fault(status=403)
    with pytest.raises(PermanentError, match="answered 403") as raised:
        rss(task(4, f"{url}/feed"))
    assert not isinstance(raised.value, SourceGoneError)


def test_an_entry_s_key_is_its_guid_else_its_link_else_what_it_says(
    rss: Rss, sources: Sources, url: str, lines: Lines
) -> None:
    long = "x" * (LONGEST_KEY + 1)
    sources.feed = feed(
        "<guid isPermaLink='false'>g</guid><link>https://example.com/1</link>",
        "<link>https://example.com/2</link>",
        "<title>Only a title</title>",
        f"<guid>{long}</guid>",
        "<guid isPermaLink='false'>g</guid><title>twice</title>",
    )
    found = keys(lines(rss(task(1, f"{url}/feed"))))
    assert found[:2] == ["g", "https://example.com/2"]
    assert len(found) == 4
    assert all(len(key) == 64 for key in found[2:])
    assert rss(task(2, f"{url}/feed"))["items"] == 0


def test_dates_may_be_missing_or_wrong(rss: Rss, sources: Sources, url: str, lines: Lines) -> None:
    right = "Fri, 15 Jan 2027 08:00:00 +0300"
    sources.feed = feed(
        f"{entry(1)}<pubDate>{right}</pubDate>", entry(2), f"{entry(3)}<pubDate>32 Smarch 99999</pubDate>"
    )
    found = lines(rss(task(1, f"{url}/feed")))
    assert [item["published"] for item in found] == ["2027-01-15T05:00:00+00:00", None, None]


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251", "koi8-r", "utf-16"])
def test_the_charset_is_minded(encoding: str, rss: Rss, sources: Sources, url: str, lines: Lines) -> None:
    text = feed("<guid>1</guid><title>Мельница</title>", head=f'<?xml version="1.0" encoding="{encoding}"?>').decode()
    sources.feed = text.encode(encoding)
    assert lines(rss(task(1, f"{url}/feed")))[0]["title"] == "Мельница"


def test_a_charset_of_the_header_goes_before_that_of_the_text(
    rss: Rss, sources: Sources, url: str, lines: Lines
) -> None:
    sources.feed = feed("<guid>1</guid><title>Мельница</title>", head="").decode().encode("windows-1251")
    sources.feed_headers = {"Content-Type": "application/xml; charset=windows-1251"}
    assert lines(rss(task(1, f"{url}/feed")))[0]["title"] == "Мельница"


def test_atom_is_read(rss: Rss, sources: Sources, url: str, lines: Lines) -> None:
    sources.feed = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title>
        <entry><id>urn:1</id><title>One</title><link href="/one"/><updated>2027-01-15T08:00:00Z</updated>
        <summary type="html">&lt;p onclick="x()"&gt;text&lt;script&gt;bad()&lt;/script&gt;&lt;/p&gt;</summary>
        </entry></feed>"""
    item = lines(rss(task(1, f"{url}/feed")))[0]
    assert (item["key"], item["link"], item["summary"]) == ("urn:1", f"{url}/one", "<p>text</p>")
    assert item["updated"] == "2027-01-15T08:00:00+00:00"


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
HIDDEN = '<!DOCTYPE x [<!-- <rss --><!ENTITY a "ha">]>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [LAUGHS, HIDDEN, FILE, f'<?xml version="1.0" encoding="utf-16"?>{LAUGHS}'])
def test_entities_are_not_expanded(head: str, rss: Rss, sources: Sources, url: str) -> None:
    text = feed("<guid>1</guid><title>&a;</title>", head=head).decode()
    sources.feed = text.encode("utf-16" if "utf-16" in head else "utf-8")
    with pytest.raises(PermanentError, match="declares XML entities"):
        rss(task(1, f"{url}/feed"))


def test_a_doctype_without_entities_is_read(rss: Rss, sources: Sources, url: str) -> None:
    head = '<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://127.0.0.1:9/rss-0.91.dtd">'
    sources.feed = feed("<guid>1</guid><description><![CDATA[<!ENTITY a 'b'>]]></description>", head=head)
    assert rss(task(1, f"{url}/feed"))["items"] == 1


@pytest.mark.parametrize("body", [b"", b"  ", b"<html><body>Not found</body></html>", b"{}", b"\x00\xff", b"<?xml"])
def test_what_is_no_feed_is_a_sentence(body: bytes, rss: Rss, sources: Sources, url: str) -> None:
    sources.feed = body
    with pytest.raises(PermanentError, match="is neither RSS nor Atom"):
        rss(task(1, f"{url}/feed"))


def test_a_feed_without_entries_is_one_and_a_broken_one_is_read_as_far_as_it_goes(
    rss: Rss, sources: Sources, url: str
) -> None:
    sources.feed = feed()
    assert rss(task(1, f"{url}/feed"))["items"] == 0
    sources.feed = feed(entry(1), "<guid>2</guid><title>A & B</title>")[:-20]
    assert rss(task(2, f"{url}/feed"))["items"] == 2


def test_a_feed_that_is_too_large_is_not_read(rss: Rss, sources: Sources, url: str) -> None:
    sources.feed = feed(*[entry(number) for number in range(5000)])
    with pytest.raises(PermanentError, match="more than 200000 bytes"):
        rss(task(1, f"{url}/feed"))


def test_a_task_that_comes_again_has_the_same_results(rss: Rss, sources: Sources, url: str, lines: Lines) -> None:
    sources.feed = feed(entry(1))
    first = rss(task(1, f"{url}/feed"))
    sources.feed = feed(entry(2), entry(1))
    rss(task(2, f"{url}/feed"))
    assert rss(task(1, f"{url}/feed")) == first
    assert keys(lines(first)) == ["g1"]


def test_a_task_that_ended_between_its_files_is_done_again_whole(
    rss: Rss, sources: Sources, url: str, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.feed = feed(entry(1))
    with monkeypatch.context() as patch:
        patch.setattr("include.parser_tasks.parsers.store.write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rss(task(1, f"{url}/feed"))
    assert keys(lines(rss(task(1, f"{url}/feed")))) == ["g1"]


def test_another_task_type_is_refused(rss: Rss, sources: Sources, url: str) -> None:
    with pytest.raises(PermanentError, match="task type is `comments`; allowed is `latest` or `all`"):
        rss(task(1, f"{url}/feed", task_type="comments"))
    assert not sources.calls
