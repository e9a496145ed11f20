"""The error of an API that refuses the credentials."""

from include.common.errors import PermanentError


class AccessError(PermanentError):
    """401 or 403: the credentials are refused, so every other call would be refused as well."""
