"""What a terminal, or a file, that has no Unicode is shown: its own characters, and no error."""

from __future__ import annotations

import codecs
import io
import sys
from typing import Final

_PLAIN: Final = {
    "–": "-", "—": "-", "…": "...", "→": "->", "←": "<-", "×": "x", "≤": "<=", "≥": ">=", "’": "'",
    "θ": "theta", "γ": "gamma", "κ": "kappa", "η": "eta", "Δ": "d", "−": "-",
}  # fmt: skip
_NAME: Final = "bcfl.plain_text"


def let_streams_take_anything() -> None:
    """From now on standard output and error put plain characters where they lack the right ones."""
    codecs.register_error(_NAME, _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in text), error.end
