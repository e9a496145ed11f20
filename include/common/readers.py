"""Reading what people write as text: in the environment, and on a line of make."""

from include.common.errors import ConfigError


def whole_number(name: str, text: str) -> int:
    """A whole number from 1, else a `ConfigError` that names the variable."""
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{name} is `{text}`; allowed is a whole number from 1")
    return int(text)


def switch(name: str, text: str | None) -> bool:
    """Whether a variable that is 0, 1 or not set is on."""
    if text not in (None, "", "0", "1"):
        raise ConfigError(f"{name} is `{text}`; allowed is 0 or 1")
    return text == "1"


def truth(name: str, text: str) -> bool:
    """A variable that is true or false, also written 1 or 0."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise ConfigError(f"{name} is `{text}`; allowed is true or false")
    return text.lower() in ("true", "1")
