"""What a run would read in a file, and the sentence for a file that no run could read."""

import codecs
import io
import json
import time
import tracemalloc
import zipfile
from contextlib import suppress
from dataclasses import asdict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.common.errors import BadInputError, ConfigError, HeadraceError
from include.enrichment import preview as module
from include.enrichment.preview import BAD, CELL, ROWS, BadRow, Preview, preview
from include.enrichment.results import Settled


@pytest.fixture
def path(tmp_path):
    return tmp_path / "0123.part"


@pytest.fixture
def see(path):
    """The preview of a file with this content."""

    def seen(content, name="orders.csv", **given):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return preview(path, name, **given)

    return seen


def workbook():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


def test_a_file_is_shown_as_it_is_read(see):
    assert see("id;name\n1;Anna\n2;Boris\n", key="id") == Preview(
        encoding="utf-8",
        delimiter=";",
        columns=("id", "name"),
        rows=(("1", "Anna"), ("2", "Boris")),
        bad=(),
        bad_count=0,
        read=2,
        whole=True,
        key="id",
    )


@pytest.mark.parametrize("encoding", ["cp1251", "cp866", "utf-8", "utf-8-sig", "utf-16"])
def test_a_russian_file_is_shown_in_its_letters(see, encoding):
    lines = ["город;население", *(f"Новосибирск {n};{n}" for n in range(20)), "Ростов-на-Дону;1140"]
    seen = see("\r\n".join(lines).encode(encoding), key="город")
    assert (seen.columns, seen.rows[0], seen.read) == (("город", "население"), ("Новосибирск 0", "0"), 21)
    assert (seen.delimiter, seen.key, seen.bad) == (";", "город", ())
    assert codecs.lookup(seen.encoding).name in (encoding.removesuffix("-sig"), f"{encoding}-le")


def test_excels_hint_is_obeyed(see):
    seen = see("sep=;\nid;a,b\n1;2,3\n")
    assert (seen.delimiter, seen.columns, seen.rows) == (";", ("id", "a,b"), (("1", "2,3"),))


def test_what_is_named_wins_over_what_is_found(see):
    seen = see("id,x|name\n1|b\xe9\n".encode("latin-1"), delimiter="|", encoding="latin-1")
    assert (seen.encoding, seen.columns, seen.rows) == ("latin-1", ("id,x", "name"), (("1", "bé"),))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"encoding": "klingon"}, "^encoding is `klingon`; allowed is a text encoding of Python"),
        ({"encoding": "base64"}, "^encoding is `base64`; allowed is"),
        ({"delimiter": "; "}, "^delimiter is `; `; allowed is one of ',', ';'"),
        ({"delimiter": ""}, "^delimiter is ``; allowed is"),
    ],
)
def test_an_encoding_or_a_delimiter_that_is_none_is_named(see, given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        see("id\n1\n", **given)


BROKEN = (
    b"id,name\n"  # 1
    b"1,Anna\n"  # 2
    b"2\n"  # 3
    b'3,"two\nlines"\n'  # 4, 5
    b"1,again\n"  # 6
    b" ,blank\n"  # 7
    b"\n"
    b"7,b\xff\n"  # 9
    b"8,\0\n"  # 10
    b'9,"open\n'  # 11
    b"10,Zoe\n"  # 12
)
REASONS = (
    BadRow(3, "1 field, the header has 2"),
    BadRow(6, "the key `1` was seen in row 1"),
    BadRow(7, "the key `id` is empty"),
    BadRow(9, "field 2 holds the byte 0xFF, which is not utf-8"),
    BadRow(10, "field 2 holds a NUL character"),
    BadRow(11, "a quote is opened and never closed"),
)


def test_bad_rows_have_their_line_and_their_reason(see):
    seen = see(BROKEN, key="id")
    assert (seen.bad, seen.bad_count, seen.read, seen.whole) == (REASONS, 6, 9, True)
    assert seen.rows == (("1", "Anna"), ("3", "two\nlines"), ("1", "again"), (" ", "blank"), ("10", "Zoe"))


def test_a_run_gives_the_same_reasons(see, planning):
    planning.plan(BROKEN)
    failed = [row for row in planning.settled() if isinstance(row, Settled) and row.error]
    seen = see(BROKEN, key="id")
    assert [row.error for row in failed if row.error.startswith("line ")] == [
        f"line {row.line}: {row.reason}" for row in seen.bad
    ]


@pytest.mark.parametrize("key", [None, "name ", "nosuch"])
def test_without_a_key_that_is_there_no_row_is_bad_for_its_key(see, key):
    seen = see("id,name\n1,a\n1,b\n,c\n2\n", key=key)
    assert (seen.key, seen.bad) == (None, (BadRow(5, "1 field, the header has 2"),))


def test_a_row_of_an_errors_csv_that_was_never_readable_is_bad(see):
    seen = see("id,status,attempts,error\n1,failed,0,line 9: 1 field\n2,failed,4,HTTP 500\n", key="id")
    assert seen.bad == (BadRow(2, "not readable before either (line 9: 1 field)"),)
    assert seen.rows == (("2", "failed", "4", "HTTP 500"),)


def test_only_the_first_rows_are_kept_and_all_are_counted(see):
    seen = see("id\n" + "".join(f"{n}\n1,2\n" for n in range(500)))
    assert (len(seen.rows), len(seen.bad), seen.bad_count, seen.read, seen.whole) == (ROWS, BAD, 500, 1000, True)


def test_reading_ends_at_the_bound(see):
    text = "id\n" + "".join(f"{n}\n" for n in range(50))
    assert [(seen.read, seen.whole) for seen in (see(text, most_rows=most) for most in (49, 50, 51))] == [
        (49, False),
        (50, True),
        (50, True),
    ]


def test_the_row_that_a_cut_breaks_is_not_counted(see):
    text = "id,name\n1,Anna\n2,Boris\n3,Zoe\n"
    for length in range(len("id,name\n1"), len(text)):
        seen = see(text[:length], cut=True, key="id")
        assert (seen.bad, seen.whole) == ((), False)
        assert seen.rows == (("1", "Anna"), ("2", "Boris"))[: max(0, text[: length - 1].count("\n") - 1)]


def test_a_quoted_field_that_a_cut_breaks_makes_no_row_bad(see):
    seen = see('id,text\n1,a\n2,"several\nlines,\nof\n', cut=True, key="id")
    assert (seen.rows, seen.bad, seen.read, seen.whole) == ((("1", "a"),), (), 1, False)


def test_a_row_that_was_bad_before_the_cut_stays_bad(see):
    seen = see("id,text\n1,a\n2\n3,c\n4", cut=True, key="id")
    assert (seen.bad, seen.read) == ((BadRow(3, "1 field, the header has 2"),), 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "`orders.csv` is empty; expected a header line and at least one row"),
        (b"\xef\xbb\xbf\r\n \n", "`orders.csv` is empty; expected a header line and at least one row"),
        (b"id,name\n", "`orders.csv` has a header and no rows; expected at least one"),
        (b"id,name\n\n\n", "`orders.csv` has a header and no rows; expected at least one"),
        (b"id,id\n1,2\n", "`orders.csv`: the header repeats `id`; column names must differ"),
        (b"id,_answer\n1,2\n", "`orders.csv` has a column `_answer`, a name kept for the answers; rename it"),
        (b"id,name\n1\n2\n", "not one row of `orders.csv` can be read; line 2: 1 field, the header has 2"),
        (b"id\n\0\n", "not one row of `orders.csv` can be read; line 2: field 1 holds a NUL character"),
        (workbook(), "`orders.csv` looks like an Excel workbook; save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "`orders.csv` looks like an Excel workbook; save it as CSV"),
        (b"%PDF-1.7\n%abc\n", "`orders.csv` looks like a PDF; expected a CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0", "`orders.csv` looks like no text in"),
        (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40, "`orders.csv` looks like no text in the encoding "),
        (bytes(5000), "`orders.csv` is empty"),
        (
            "名,字\n1,2\n3,4\n".encode("utf-16-be"),
            "`orders.csv` looks like no text in the encoding utf-8; expected a CSV, w",
        ),
    ],
    ids=lambda value: ascii(value)[:25],
)
def test_what_no_run_could_read_gets_a_sentence(see, content, sentence):
    with pytest.raises(BadInputError) as caught:
        see(content)
    assert str(caught.value).startswith(sentence)


def test_that_file_is_read_once_its_encoding_is_named(see):
    assert see("名,字\n1,2\n".encode("utf-16-be"), encoding="utf-16-be").columns == ("名", "字")


def test_a_few_flaws_are_bad_rows_and_no_binary_file(see):
    seen = see(b"id\n" + b"1\0\n" * 9 + b"\1\2\n" + b"".join(b"%d\n" % n for n in range(200)))
    assert (seen.bad_count, seen.read) == (9, 210)


def test_the_name_is_shown_as_text(see):
    with pytest.raises(BadInputError, match=r"^`a\\x1b\[2J<b>x…?.*` is empty"):
        see(b"", name="a\x1b[2J<b>" + "x" * 300)


def test_values_are_shown_cut_and_as_text_that_a_page_can_hold(see):
    seen = see("id,a\\ud800b\n" + "x" * 1000 + ",\\ud800\n", encoding="unicode_escape")
    assert seen.columns == ("id", "a\\ud800b")
    assert seen.rows == (("x" * (CELL - 1) + "…", "\\ud800"),)


@given(
    st.binary(max_size=400) | st.text(alphabet='id,;"\n\r\0é\t|1 ', max_size=200).map(str.encode),
    st.sampled_from([None, "utf-8", "utf-16", "utf-7", "cp1251", "gb18030", "unicode_escape", "idna", "shift_jis"]),
    st.booleans(),
)
@example(b"id\n1\n+2AA-\n", "utf-7", False)
def test_whatever_the_file_holds_it_is_shown_or_gets_a_sentence(tmp_path_factory, content, encoding, cut):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with suppress(HeadraceError):
        seen = preview(path, "any.csv", key="id", encoding=encoding, cut=cut)
        assert (bool(seen.read) or cut, seen.whole) == (True, not cut)
        json.dumps(asdict(seen), ensure_ascii=False).encode()


def test_no_more_than_the_bound_is_read_of_few_and_long_rows(see, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)
    seen = see("id,text\n" + "".join(f"{n},{'x' * 30_000}\n" for n in range(9)))
    assert (seen.read, seen.bad, seen.whole) == (3, (), False)
    assert see("id\n1\n" + "\n" * 200_000).read == 0


def test_memory_and_time_do_not_grow_with_the_file(see):
    def cost(rows):
        content = b"id,name\n" + b"".join(b"%d,Anna\n" % n for n in range(rows))
        see(content)
        tracemalloc.start()
        began = time.process_time()
        seen = see(content, key="id")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return seen, peak, time.process_time() - began

    (small, small_peak, small_time), (large, large_peak, large_time) = cost(200_000), cost(2_000_000)
    assert (small.read, small.whole) == (large.read, large.whole) == (10_000, False)
    assert large_peak < small_peak + 1024 * 1024
    assert large_time < 5 * small_time + 1
