"""Reading CSV files as people and programs write them."""

import codecs
import csv
import io
import tracemalloc
from encodings.aliases import aliases
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.common.errors import BadInputError, ConfigError
from include.enrichment.reader import MAX_FIELD, CsvFile, Format, detect


@pytest.fixture
def path(tmp_path):
    return tmp_path / "input.csv"


def read(path: Path, content: str | bytes, **named):
    """Columns and rows of a file with this content, read as `detect` says."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with CsvFile(path, detect(path, "id", **named)) as table:
        return table.columns, list(table.rows())


def values(path: Path, content: str | bytes, **named):
    columns, rows = read(path, content, **named)
    assert [row.error for row in rows if row.error] == []
    return [columns, *(row.values for row in rows)]


def detected(path: Path, content: bytes, **named) -> Format:
    path.write_bytes(content)
    return detect(path, "id", **named)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(path, delimiter):
    text = "id,name\n1,Anna\n2,Boris\n".replace(",", delimiter)
    assert values(path, text) == [("id", "name"), ("1", "Anna"), ("2", "Boris")]


def test_commas_in_the_values_do_not_hide_a_semicolon(path):
    text = "id;name;price\n1;Doe, John, Jr.;1,50\n2;Roe, Jane, Dr.;2,75\n"
    assert values(path, text)[1] == ("1", "Doe, John, Jr.", "1,50")


def test_the_key_column_decides_between_two_delimiters_that_both_make_a_table(path):
    text = "id;first,second,third\n1;a,b,c\n2;d,e,f\n"
    assert values(path, text)[0] == ("id", "first,second,third")


def test_a_file_of_one_column_is_read(path):
    assert values(path, "id\n1\n2\n") == [("id",), ("1",), ("2",)]


def test_a_delimiter_that_is_named_is_taken(path):
    assert values(path, "id,x|name\n1|2\n", delimiter="|")[0] == ("id,x", "name")


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
@pytest.mark.parametrize("hint", ["sep={}", "SEP={}", '"sep={}"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_excels_own_hint_is_obeyed_and_is_no_header(path, hint, delimiter, encoding):
    lines = (hint.format(delimiter), f"id{delimiter}a;b,c|d", f'1{delimiter}"x,y;z|\t"')
    if delimiter != "\t":
        lines = (lines[0], f'id{delimiter}"a;b,c|d"', lines[2])
    content = "".join(f"{line}\r\n" for line in lines).encode(encoding)
    assert values(path, content) == [("id", "a;b,c|d"), ("1", "x,y;z|\t")]


def test_a_hint_of_another_delimiter_than_the_one_that_is_named_is_the_header(path):
    assert values(path, "sep=;\n1\n", delimiter=",")[0] == ("sep=;",)


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
        ("cp1251", b""),
        ("cp866", b""),
    ],
)
def test_the_encoding_is_found(path, encoding, mark):
    text = "id,город,страна\n1,Москва,Россия\n2,Санкт-Петербург,Россия\n"
    if encoding.startswith("utf-16") and not mark:
        text = "id,city,country\n1,Zürich,Switzerland\n"
    assert detected(path, mark + text.encode(encoding)) == Format(encoding, ",")


def test_utf_16_without_a_mark_is_found_where_most_letters_are_russian(path):
    text = "id;город\n" + "".join(f"{n};Нижний Новгород, Нижегородская область\n" for n in range(50))
    assert values(path, text.encode("utf-16-le"))[1] == ("0", "Нижний Новгород, Нижегородская область")


def test_russian_excel_is_read(path):
    text = "id;Название;Цена\r\n1;Ёлка «Снежная»;1 200,50 ₽\r\n".replace("₽", "руб.")
    assert values(path, text.encode("cp1251"))[1] == ("1", "Ёлка «Снежная»", "1 200,50 руб.")


def test_a_russian_export_of_dos_is_read(path):
    text = "id;Название;Цена\r\n1;Ёлка снежная;1 200,50 руб.\r\n2;№ 5 ШАР;10\r\n"
    assert values(path, text.encode("cp866"))[1] == ("1", "Ёлка снежная", "1 200,50 руб.")


TOWNS = [
    "Москва",
    "Санкт-Петербург",
    "Новосибирск",
    "Екатеринбург",
    "Казань",
    "Нижний Новгород",
    "Челябинск",
    "Самара",
    "Омск",
    "Уфа",
    "Ростов-на-Дону",
    "Красноярск",
    "Воронеж",
    "Пермь",
    "Волгоград",
    "Краснодар",
    "Саратов",
    "Тюмень",
    "Тольятти",
    "Ижевск",
    "Барнаул",
    "Орёл",
    "Тверь",
    "Йошкар-Ола",
    "Элиста",
    "Щёлково",
    "Ессентуки",
    "Юрга",
    "Ялта",
    "Хабаровск",
    "Чита",
    "Шахты",
    "Жуковский",
    "Ярославль",
]
GOODS = [
    "папка",
    "банан",
    "структура",
    "страсть",
    "цена",
    "товар",
    "скидка",
    "склад",
    "остаток",
    "стол",
    "шкаф",
    "молоко",
    "хлеб",
    "масло",
    "вишня",
    "перец",
]


@pytest.mark.parametrize("encoding", ["cp1251", "cp866"])
@pytest.mark.parametrize("case", [str, str.upper, str.lower])
def test_one_russian_word_tells_the_code_pages_of_windows_and_dos_apart(path, encoding, case):
    found = [detected(path, f"id,name\n1,{case(word)}\n".encode(encoding)).encoding for word in TOWNS + GOODS]
    assert found == [encoding] * 50


@pytest.mark.parametrize("text", ["日本語の名前と住所", "Привет, Ёжик!", "Ελληνικά ονόματα", "größer, café, naïve"])
@pytest.mark.parametrize("broken", [b"\xff", b"\xe0", b"\x80"])
def test_one_broken_byte_does_not_make_utf_8_into_another_encoding(path, text, broken):
    content = "".join(f"{n},{text.replace(',', '')}\n" for n in range(3)).encode()
    assert detected(path, b"id,name\n" + content + b"9,bro" + broken + b"ken\n").encoding == "utf-8"


def test_western_letters_are_not_taken_for_russian_ones(path):
    assert detected(path, "id,name\n1,Zürich café\n2,größer naïve\n".encode("cp1252")).encoding == "utf-8"


def test_one_broken_byte_does_not_make_utf_8_into_cp1251(path):
    text = "id,name\n" + "".join(f"{n},Анна Каренина\n" for n in range(20))
    content = text.encode() + b"21,bro\xffken\n"
    _, rows = read(path, content)
    assert rows[0].values == ("0", "Анна Каренина")
    assert [row.error for row in rows if row.error] == ["field 2 holds the byte 0xFF, which is not utf-8"]


def test_utf_16_that_is_named_and_has_no_mark_is_little_endian(path):
    content = "id,name\n1,Анна\n".encode("utf-16-le")
    assert detected(path, content, encoding="utf-16") == Format("utf-16-le", ",")


def test_utf_32_that_is_named_is_read_with_a_mark_or_without(path):
    content = "id,name\n1,Анна\n".encode("utf-32-le")
    assert detected(path, content, encoding="utf-32") == Format("utf-32-le", ",")
    assert values(path, codecs.BOM_UTF32_LE + content, encoding="UTF32") == [("id", "name"), ("1", "Анна")]


def test_a_header_of_many_columns_is_compared_in_one_pass(path):
    names = tuple(f"c{number}" for number in range(100_000))
    assert values(path, f"{','.join(names)}\n".encode()) == [names]


def test_utf_16_that_is_named_follows_its_mark(path):
    content = codecs.BOM_UTF16_BE + "id,name\n1,Анна\n".encode("utf-16-be")
    assert values(path, content, encoding="utf-16") == [("id", "name"), ("1", "Анна")]


def test_an_encoding_that_is_named_is_not_guessed_again(path):
    assert detected(path, "id,имя\n1,Анна\n".encode(), encoding="cp1251").encoding == "cp1251"


def can_write(encoding: str) -> bool:
    try:
        return "id".encode(encoding) is not None
    except (LookupError, UnicodeError):  # bytes to bytes, or of another system
        return False


# Python's for internet names read only what is whole and right.
CODECS = set(aliases.values()) - {"idna", "punycode"}
TEXT_CODECS = sorted(filter(can_write, CODECS))
assert len(TEXT_CODECS) >= 90


@pytest.mark.parametrize("encoding", TEXT_CODECS)
def test_any_codec_of_python_is_taken_where_it_is_named(path, encoding):
    content = 'id;name\r\n1;"a;b"\r\n2;two words\r\n'.encode(encoding)
    assert values(path, content, encoding=encoding) == [("id", "name"), ("1", "a;b"), ("2", "two words")]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Zürich café €"),
        ("cp866", "Ёлка №5"),
        ("koi8-r", "Ёлка"),
        ("gb18030", "北京市€"),
        ("shift_jis", "東京ソ表"),
        ("euc-kr", "서울"),
        ("iso2022_jp", "東京"),
        ("utf-7", "Ёлка"),
        ("utf-8-sig", "Ёлка"),
        ("utf-32", "Ёлка"),
    ],
)
def test_letters_of_an_encoding_that_is_named_are_read(path, encoding, text):
    content = f'sep=;\nid;name\n1;{text}\n2;"{text};\n{text}"\n'.encode(encoding)
    assert values(path, content, encoding=encoding)[1:] == [("1", text), ("2", f"{text};\n{text}")]


@pytest.mark.parametrize("encoding", ["gb18030", "shift_jis", "euc-kr", "utf-32-le", "cp1252", "utf-7"])
def test_what_an_encoding_that_is_named_cannot_read_fails_its_row_only(path, encoding):
    broken = {"utf-32-le": b"\xff\xff\xff\xff", "cp1252": b"\x81"}.get(encoding, b"\xff")
    content = "id,name\n1,a\n2,".encode(encoding) + broken + "\n3,c\n".encode(encoding)
    _, rows = read(path, content, encoding=encoding)
    assert [row.number for row in rows if row.error] == [2]
    assert f"which is not {encoding}" in str(rows[1].error)


@pytest.mark.parametrize(
    "encoding", ["hex", "rot13", "zip", "idna", "punycode", "undefined", "latin-99", "", "a\0b", "../x"]
)
def test_what_is_no_text_encoding_is_refused_with_its_name_and_examples(path, encoding):
    with pytest.raises(ConfigError, match=r"^encoding is `.*`; allowed is a text encoding .* such as utf-8, utf-16"):
        read(path, b"id\n1\n", encoding=encoding)


def test_a_character_cut_by_the_end_of_the_sample_does_not_change_the_encoding(path, monkeypatch):
    monkeypatch.setattr("include.enrichment.reader.SAMPLE_BYTES", 11)
    assert detected(path, "id,name\n1,Я\n".encode()).encoding == "utf-8"


def test_names_in_the_header_are_trimmed(path):
    assert values(path, " id , name \n1, a \n") == [("id", "name"), ("1", " a ")]


def test_a_byte_order_mark_is_no_part_of_the_first_name(path):
    assert values(path, "\ufeffid,name\n1,a\n")[0] == ("id", "name")


def test_blank_lines_before_the_header_are_passed_over(path):
    assert values(path, "\n\nid,name\n1,a\n")[0] == ("id", "name")


def test_a_column_without_a_name_gets_one(path):
    assert values(path, "id,,\n1,a,b\n")[0] == ("id", "column_2", "column_3")


def test_a_header_that_repeats_a_name_is_refused_by_that_name(path):
    with pytest.raises(BadInputError, match="the header repeats `name`"):
        read(path, "id,name,name\n1,a,b\n")


def test_a_header_that_cannot_be_decoded_names_its_line(path):
    with pytest.raises(BadInputError, match=r"line 1 of .*the header: field 2 holds the byte 0xFF"):
        read(path, b"id,n\xffme\n1,a\n", encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"\0\0\0\0"])
def test_a_file_with_nothing_in_it_is_refused_with_its_path(path, content):
    with pytest.raises(BadInputError, match=f"`{path}` is empty; expected a header line and at least one row"):
        read(path, content)


def test_a_missing_file_is_refused_with_its_path(path):
    with pytest.raises(BadInputError, match=f"`{path}` cannot be read: No such file"):
        detect(path, "id")


def test_a_message_names_the_file_as_the_caller_does(path):
    path.write_bytes(b"")
    with pytest.raises(BadInputError, match=r"`data/input.csv` is empty"):
        detect(path, "id", name="data/input.csv")


def test_quoted_newlines_and_delimiters_belong_to_their_value(path):
    text = 'id,note\r\n1,"first\r\nsecond, ""third"""\r\n2,b\r\n'
    assert values(path, text)[1:] == [("1", 'first\r\nsecond, "third"'), ("2", "b")]


def test_lines_may_end_as_on_an_old_mac(path):
    assert values(path, "id,name\r1,a\r2,b\r")[1:] == [("1", "a"), ("2", "b")]


def test_the_last_line_needs_no_end(path):
    assert values(path, "id,name\n1,a")[1:] == [("1", "a")]


def test_leading_zeros_and_spaces_of_values_stay(path):
    assert values(path, "id,name\n007, a \n")[1] == ("007", " a ")


def test_empty_lines_are_no_rows_and_rows_keep_their_line(path):
    _, rows = read(path, "id,name\n\n1,a\n\n\n2,b\n\n")
    assert [(row.number, row.line) for row in rows] == [(1, 3), (2, 6)]


def test_a_line_is_counted_as_an_editor_counts_it(path):
    _, rows = read(path, 'id,note\n1,"a\nb\nc"\n2,x\n3,"y\nz"\n4,w\n')
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 5), (3, 6), (4, 8)]


def test_excels_hint_counts_as_a_line(path):
    _, rows = read(path, "sep=,\nid,name\n1,a\n")
    assert rows[0].line == 3


def test_too_few_fields_fail_that_row_only(path):
    _, rows = read(path, "id,name,city\n1,a,b\n2,a\n3,a,b\n")
    assert [row.error for row in rows] == [None, "2 fields, the header has 3", None]


def test_too_many_fields_fail_that_row_only(path):
    _, rows = read(path, "id,name\n1,a\n2,a,b\n3,a\n")
    assert [row.error for row in rows] == [None, "3 fields, the header has 2", None]


def test_an_undecodable_byte_fails_that_row_only_and_is_named(path):
    _, rows = read(path, b"id,name\n1,Anna\n2,\xe9t\xe9\n3,Boris\n", encoding="utf-8")
    assert [row.error for row in rows] == [None, "field 2 holds the byte 0xE9, which is not utf-8", None]


def test_half_a_character_at_the_end_of_utf_16_fails_the_last_row_only(path):
    content = codecs.BOM_UTF16_LE + "id,name\n1,a\n2,b".encode("utf-16-le") + b"\x41"
    _, rows = read(path, content)
    assert [bool(row.error) for row in rows] == [False, True]


def test_a_byte_that_cp1251_does_not_know_fails_that_row_only(path):
    _, rows = read(path, "id,имя\n1,Анна\n".encode("cp1251") + b"2,\x98\n", encoding="cp1251")
    assert [row.error for row in rows] == [None, "field 2 holds the byte 0x98, which is not cp1251"]


def test_a_nul_fails_that_row_only(path):
    _, rows = read(path, b"id,name\n1,a\n2,b\0c\n3,d\n")
    assert [row.error for row in rows] == [None, "field 2 holds a NUL character", None]


def test_a_quote_that_is_never_closed_fails_its_row_and_the_others_are_read(path):
    _, rows = read(path, 'id,name\n1,a\n2,"b\n3,c\n4,d\n')
    assert [(row.number, row.line, row.error) for row in rows] == [
        (1, 2, None),
        (2, 3, "a quote is opened and never closed"),
        (3, 4, None),
        (4, 5, None),
    ]


def test_a_quote_that_is_never_closed_in_a_large_file_costs_its_row_only(path):
    lines = [f"{number},{'x' * 100}\n" for number in range(1, 15_001)]
    lines[4] = '5,"a stray quote\n'
    _, rows = read(path, "id,name\n" + "".join(lines))
    assert len(rows) == 15_000
    assert [(row.number, row.line) for row in rows if row.error] == [(5, 6)]


def test_text_after_a_closing_quote_fails_its_row_and_the_others_are_read(path):
    _, rows = read(path, 'id,name\n1,"a"b\n2,c\n')
    assert [(row.number, row.line, bool(row.error)) for row in rows] == [(1, 2, True), (2, 3, False)]


def test_a_quote_within_a_value_is_a_character(path):
    assert values(path, 'id,size\n1,5" disk\n2,b\n')[1] == ("1", '5" disk')


@pytest.mark.parametrize("size", [MAX_FIELD + 1, MAX_FIELD + 100, 3 * MAX_FIELD])
def test_a_value_beyond_the_limit_fails_its_row_and_is_never_cut_in_silence(path, size):
    _, rows = read(path, f"id,name\n1,{'x' * size}\n2,b\n")
    assert rows[0].error
    assert [row.values for row in rows if not row.error] == [("2", "b")]


def test_a_row_beyond_the_limit_is_one_failed_row(path):
    wide = ",".join(["123456789"] * 150_000)
    _, rows = read(path, f"id,name\n1,{wide}\n2,b\n")
    assert [(row.number, row.line, bool(row.error)) for row in rows] == [(1, 2, True), (2, 3, False)]


def test_a_value_of_just_the_limit_is_read(path):
    name = "x" * (MAX_FIELD - 10)
    assert values(path, f"id,name\n1,{name}\n")[1] == ("1", name)


def test_the_memory_does_not_grow_with_the_file(path):
    def peak(rows: int) -> int:
        path.write_text("id,name\n" + "".join(f"{n},{'x' * 200}\n" for n in range(rows)))
        tracemalloc.start()
        with CsvFile(path, Format("utf-8", ",")) as table:
            assert sum(1 for _ in table.rows()) == rows
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(8000) < 1.2 * peak(1000) + 50_000


def written(rows: list[list[str]], encoding: str, delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode(encoding)


CYRILLIC = "".join(bytes([byte]).decode("cp1251", "ignore") for byte in range(1, 256))
ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
HEADERS = st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), unique=True, min_size=1, max_size=4)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1251"])
DELIMITERS = st.sampled_from([",", ";", "\t", "|"])
NASTY = st.sampled_from(
    ["", '"', '""', "\r", "\n", "\r\n", ",", ";", "\t", "|", " ", "sep=;", "'", "#", "\x1a", "\x85"]
)


@st.composite
def tables(draw, encoding, extra=()):
    header = [*extra, *draw(HEADERS.filter(lambda names: "id" not in names))]
    letters = st.sampled_from(CYRILLIC) if encoding == "cp1251" else ANY
    nasty = NASTY.filter(lambda text: encoding != "cp1251" or text != "\x85")
    value = st.one_of(nasty, st.lists(st.one_of(nasty, letters), max_size=8).map("".join))
    row = st.lists(value, min_size=len(header), max_size=len(header))
    return [header, *draw(st.lists(row, max_size=6))]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("csv") / "input.csv"


@given(data=st.data(), encoding=ENCODINGS, delimiter=DELIMITERS)
def test_whatever_csv_writer_writes_is_read_back(scratch, data, encoding, delimiter):
    table = data.draw(tables(encoding))
    scratch.write_bytes(written(table, encoding, delimiter))
    named = "utf-8" if encoding == "utf-8-sig" else encoding
    with CsvFile(scratch, detect(scratch, "id", named, delimiter)) as found:
        rows = list(found.rows())
    assert [row.error for row in rows if row.error] == []
    assert [list(found.columns), *(list(row.values) for row in rows)] == table


WORDS = {
    "latin": [
        "Anna",
        "Doe, John",
        "New York",
        "a;b",
        "x|y",
        "tab\there",
        "1,50",
        "12.5",
        "007",
        'say "hi"',
        "two\nlines",
    ],
    "russian": [
        "Москва",
        "Иванов, Пётр",
        "Нижний Новгород",
        "да; нет",
        "цена|скидка",
        "две\r\nстроки",
        "«Ёлка»",
        "1,50",
    ],
}


@given(data=st.data(), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1251"]), delimiter=DELIMITERS)
@example(data=None, encoding="cp1251", delimiter=";")
def test_encoding_and_delimiter_of_ordinary_tables_are_found(scratch, data, encoding, delimiter):
    if data is None:
        table = [["id", "name"], ["1", "Иванов, Пётр"]]
    else:
        header = ["id", *data.draw(HEADERS.filter(lambda names: "id" not in names))]
        value = st.sampled_from(WORDS["latin"] + WORDS["russian"])
        row = st.lists(value, min_size=len(header) - 1, max_size=len(header) - 1)
        rows = data.draw(st.lists(row, min_size=1, max_size=12))
        table = [header, *([str(number), *row] for number, row in enumerate(rows, 1))]
    scratch.write_bytes(written(table, encoding, delimiter))
    with CsvFile(scratch, detect(scratch, "id")) as found:
        rows = list(found.rows())
    assert [row.error for row in rows if row.error] == []
    assert [list(found.columns), *(list(row.values) for row in rows)] == table


@given(
    encoding=st.sampled_from(["cp1251", "cp866"]),
    words=st.lists(
        st.sampled_from([*TOWNS, *GOODS, "сыр", "хруст", "Пётр", "ООО", "да"]), min_size=3, max_size=8, unique=True
    ),
    cases=st.lists(st.sampled_from([str, str.upper, str.lower]), min_size=8, max_size=8),
)
def test_a_few_russian_words_in_any_case_tell_them_apart(scratch, encoding, words, cases):
    text = "".join(f"{number},{case(word)}\n" for number, (word, case) in enumerate(zip(words, cases, strict=False), 1))
    assert detected(scratch, f"id,name\n{text}".encode(encoding)).encoding == encoding


@given(st.binary(max_size=300))
def test_whatever_bytes_a_file_holds_it_is_read_or_refused_with_a_sentence(scratch, content):
    scratch.write_bytes(b"id,name\n" + content)
    with CsvFile(scratch, detect(scratch, "id")) as table:
        rows = list(table.rows())
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert all(row.error or len(row.values) == len(table.columns) for row in rows)


@given(st.binary(max_size=100))
def test_whatever_bytes_are_a_whole_file_it_is_read_or_refused_with_a_sentence(scratch, content):
    scratch.write_bytes(content)
    try:
        with CsvFile(scratch, detect(scratch, "id")) as table:
            list(table.rows())
    except BadInputError:
        pass
