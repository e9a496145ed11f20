"""How a text file is encoded: any of Python's codecs where a person says it, else found out."""

import codecs
import re
from collections import Counter
from math import log

from include.common.errors import ConfigError
from include.common.text import shown

# An undecodable byte B becomes the lone surrogate U+DC00+B, which no encoding can produce.
UNDECODABLE = "headrace.undecodable"
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
)
# Single bytes as Windows and as DOS write Russian.
RUSSIAN = ("cp1251", "cp866")
# How many of 10,000 letters of Russian texts are this one (O. Lyashevskaya, S. Sharov, Frequency dictionary of the
# modern Russian language, 2009); for ё, which many write as е, about what those have who write it.
FREQUENCY = {
    **{"о": 1097, "е": 845, "а": 801, "и": 735, "н": 670, "т": 626, "с": 547, "р": 473, "в": 454, "л": 440, "к": 349},
    **{"м": 321, "д": 298, "п": 281, "у": 262, "я": 201, "ы": 190, "ь": 174, "г": 170, "з": 165, "б": 159, "ч": 144},
    **{"й": 121, "х": 97, "ж": 94, "ш": 73, "ю": 64, "ц": 48, "щ": 36, "э": 32, "ф": 26, "ъ": 4, "ё": 60},
}
# As rare as a rare letter: quotes and dashes, and what looks like letters outside of words.
OTHER = 30
_WORD = re.compile("[А-ЯЁ]?[а-яё]{2,}|[А-ЯЁ]{3,}")
_VOWEL = re.compile("[аеёиоуыэюя]", re.IGNORECASE)


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(UNDECODABLE, _mark_undecodable)


def check_encoding(name: str, setting: str = "encoding") -> None:
    """Raise `ConfigError`, which names the setting, unless Python has a codec of that name that reads text."""
    try:
        "id".encode(name)
        codecs.getincrementaldecoder(name)(UNDECODABLE).decode(b"")
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"{setting} is `{shown(name)}`; allowed is a text encoding of Python, such as utf-8, utf-16, cp1251, "
            "cp866, cp1252 or gb18030"
        ) from error


def find_encoding(sample: bytes, named: str | None) -> str:
    """The encoding of a file that begins with `sample`: the one `named`, else by its byte order mark or its bytes."""
    marked = next((encoding for mark, encoding in MARKS if sample.startswith(mark)), None)
    if named is None:
        return marked or _guess(sample)
    family = codecs.lookup(named).name
    if family not in ("utf-16", "utf-32"):
        return named
    little = f"{family}-le"  # without a mark, as Windows writes it
    return marked if marked in (little, f"{family}-be") else little


def _guess(sample: bytes) -> str:
    """UTF-16 by its zero bytes, UTF-8 where it decodes, a Russian code page where the rest reads as Russian words."""
    if _are_high_bytes(sample[1::2]) and not _are_high_bytes(sample[::2]):
        return "utf-16-le"
    if _are_high_bytes(sample[::2]) and not _are_high_bytes(sample[1::2]):
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
        return "utf-8"
    except UnicodeDecodeError:
        high = sum(byte >= 0x80 for byte in sample)
        letters = {encoding: _russian(sample.decode(encoding, "replace")) for encoding in RUSSIAN}
        likeliest = max(RUSSIAN, key=lambda encoding: _likelihood(letters[encoding], high))
        # UTF-8 with a few broken bytes has no such words: its letters are pairs of different kinds of bytes.
        return likeliest if 2 * len(letters[likeliest]) >= high else "utf-8"


def _are_high_bytes(half: bytes) -> bool:
    """Whether every other byte of a sample is the high half of a UTF-16 unit: 0 for ASCII, 4 for Russian, mostly."""
    return half.count(0) > 0 and 10 * (half.count(0) + half.count(4)) >= 9 * len(half)


def _russian(text: str) -> str:
    """The letters of what looks like Russian words: of one case but for the first letter, with a vowel."""
    return "".join(word for word in _WORD.findall(text) if len(word) > 2 and _VOWEL.search(word))


def _likelihood(letters: str, high: int) -> float:
    """The logarithm of the chance, times a constant, that `high` bytes are these letters and others."""
    counted = Counter(letters.lower())
    return sum(log(FREQUENCY[letter]) * count for letter, count in counted.items()) + log(OTHER) * (high - len(letters))
