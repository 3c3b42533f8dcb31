"""JSON from strangers, whose depth is bounded before it is parsed.

py-evm raises Python's recursion limit to 100,000 for the whole process. From then on the JSON
parser no longer refuses ``[[[[…`` but overflows the stack, and the process is gone.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["parse_json"]

_MAX_DEPTH: Final = 64
# possessive: no string, however long or full of escapes, makes this backtrack
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


def parse_json(text: bytes) -> Any:
    """The value that ``text`` says.

    Raises
    ------
    ValueError
        It is no JSON, or nested more than 64 deep.
    """
    if text.count(b"[") + text.count(b"{") > _MAX_DEPTH:
        _expect_shallow(_STRING.sub(b"", text))
    return json.loads(text)


def _expect_shallow(brackets: bytes) -> None:
    depth = 0
    for match in _BRACKET.finditer(brackets):
        depth += 1 if match[0] in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise ValueError(f"JSON nested more than {_MAX_DEPTH} deep")
