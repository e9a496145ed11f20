"""Reference parsers: they really parse, and show how a parser of one's own is written."""
