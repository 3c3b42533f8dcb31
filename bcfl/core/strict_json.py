"""JSON from strangers, bounded before it is parsed.

:func:`parse_json` bounds the depth: py-evm raises Python's recursion limit to 100,000 for the
whole process, and from then on the JSON parser no longer refuses ``[[[[…`` but overflows the
stack. :func:`load_strict_json` bounds the size, too, and gives a text one meaning: the parser of
the standard library accepts what two readers may read differently (duplicate keys, NaN,
fractions with more digits than a float has).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from bcfl.core.errors import ArchitectureError

_MAX_DEPTH: Final = 64
# possessive: no string, however long or full of escapes, makes this backtrack
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


def load_strict_json(text: bytes, max_bytes: int, depth: int) -> Any:
    """Parse ASCII JSON made of objects, lists, strings and whole numbers alone.

    Parameters
    ----------
    text : bytes
    max_bytes : int
        Longer texts are refused unread.
    depth : int
        How many objects and lists may be open at once.

    Raises
    ------
    ArchitectureError
        Anything else; the text is bounded in memory to a small multiple of ``max_bytes``.
    """
    if len(text) > max_bytes:
        raise ArchitectureError(f"a description of at most {max_bytes:,} bytes", f"{len(text):,}")
    _check_depth(text, depth)
    try:
        return json.loads(
            text.decode("ascii"),
            object_pairs_hook=_without_duplicates,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, a number too long
        raise ArchitectureError("JSON in ASCII", str(error)[:120]) from error


def _check_depth(text: bytes, depth: int) -> None:
    # Without escapes a string ends at the next quote, so that what is left of the text after
    # the strings are cut out has exactly the brackets that the parser will open and close.
    if b"\\" in text:
        raise ArchitectureError("JSON without escapes", "a backslash")
    opened = 0
    for byte in re.sub(rb'"[^"]*"', b"", text):
        if byte in b"[{":
            opened += 1
        elif byte in b"]}":
            opened -= 1
        if opened > depth:
            raise ArchitectureError(f"JSON nested at most {depth} deep", "deeper nesting")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ArchitectureError("each JSON key once in its object", "a key given twice")
    return result


def _refuse_number(spelling: str) -> NoReturn:
    raise ArchitectureError("whole numbers only", spelling[:40])


def parse_json(text: bytes) -> Any:
    """The value that ``text`` says.

    Raises
    ------
    ValueError
        It is no JSON in UTF-8, or nested more than 64 deep.
    """
    if text.count(b"[") + text.count(b"{") > _MAX_DEPTH:
        _expect_shallow(_STRING.sub(b"", text))
    return json.loads(text.decode())  # of bytes, json would guess another encoding


def _expect_shallow(brackets: bytes) -> None:
    depth = 0
    for match in _BRACKET.finditer(brackets):
        depth += 1 if match[0] in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise ValueError(f"JSON nested more than {_MAX_DEPTH} deep")
