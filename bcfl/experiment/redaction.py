"""Nothing secret in what a run writes about itself."""

from __future__ import annotations

import re
from typing import Any

_SECRET_NAMES = ("password", "passphrase", "private_key", "secret", "token")
#: Of a URL: user and password; a long word in the path, as providers' keys are; the query.
_IN_A_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=/)[\w-]{20,}(?=/|$|\?)|(?<=\?)\S+")
_HIDDEN = "***"


def without_secrets(value: Any) -> Any:
    """The same plain values, without passwords and without the credentials in URLs.

    Hidden are values whose name says password, secret or the like, in a mapping or in a
    ``name=value`` word, and of URLs what providers use for keys. Keys of accounts are never
    part of a configuration: they are in key files, and those are named by their path.
    """
    if isinstance(value, dict):
        return {
            key: _HIDDEN if _says_secret(str(key)) and item else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    if isinstance(value, str):
        name, equals, _ = value.partition("=")
        if equals and _says_secret(name):
            return f"{name}={_HIDDEN}"
        return _IN_A_URL.sub(_HIDDEN, value) if "://" in value else value
    return value


def _says_secret(name: str) -> bool:
    last = name.lower().rpartition(".")[2]
    return any(word in last for word in _SECRET_NAMES) and not last.endswith("_file")
