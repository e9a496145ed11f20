"""Names that are safe to use: any text as the name of one file."""

import hashlib
import re
from urllib.parse import quote

# File systems allow 255 bytes; what stands around the name (".json") needs some of them.
NAME_BYTES = 200


def file_name(text: str) -> str:
    """`text` as the name of one file: letters of any alphabet and ` -_.+^@=,:` stay, the rest is percent-encoded.

    Different texts have different names; a name that would be too long ends in a digest of the text instead.
    """
    name = "".join(
        c if c.isalnum() or c in " -_.+^@=,:" else quote(c, safe="", errors="backslashreplace") for c in text
    )
    name = re.sub(r"^\.", "%2E", name)
    if len(name.encode("utf-8", "backslashreplace")) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return name.encode()[: NAME_BYTES - 17].decode("utf-8", "ignore") + "~" + digest
