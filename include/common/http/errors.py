"""The errors of a call that concern every other call as well."""

from include.common.errors import PermanentError, TransientError


class AccessError(PermanentError):
    """401 or 403: the credentials are refused, so every other call would be refused as well."""


class UnreachableError(TransientError):
    """No connection could be made (refused, no such name): there is no server, whatever it is asked for."""
