"""Text from elsewhere, as a terminal, a log or a message may show it."""

# Characters of a value that stands in a sentence, and of a whole sentence.
VALUE = 60
SENTENCE = 300


def shown(text: str, length: int = VALUE) -> str:
    r"""`text` in at most `length` characters; a longer one is cut in the middle, where people miss least.

    What does not show as itself is escaped as Python does (`\x1b`, `\u202e`, `\n`): control characters would command a
    terminal, and marks of direction reorder what stands beside them.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def one_line(text: str, length: int = SENTENCE) -> str:
    """A sentence or an answer on one line, its white space made single spaces, shown in at most `length` characters."""
    return shown(" ".join(text.split()), length)
