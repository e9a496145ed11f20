"""HTML as a tree, so that tests ask what a page holds and not how it is written."""

from html.parser import HTMLParser
from xml.etree.ElementTree import Element, TreeBuilder

VOID = ("meta", "link", "input", "br", "img", "hr")


class _Tree(HTMLParser):
    """A strict one: an element that is left open, or closed twice, is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.builder, self.open = TreeBuilder(), ["document"]
        self.builder.start("document", {})

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attributes})
        if tag in VOID:
            self.builder.end(tag)
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing that is open"
        self.builder.end(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attributes})
        self.builder.end(tag)

    def handle_data(self, data: str) -> None:
        self.builder.data(data)


def parse(text: str) -> Element:
    """The tree of a page, or of a fragment of one; `find` and `findall` take XPath."""
    tree = _Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == ["document"], f"left open: {tree.open[1:]}"
    tree.builder.end("document")
    return tree.builder.close()


def text_of(element: Element | None) -> str:
    """What a person reads in an element, in one line."""
    assert element is not None
    return " ".join("".join(element.itertext()).split())
