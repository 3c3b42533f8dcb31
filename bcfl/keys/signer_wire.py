"""What a ClientApp's process says to a signer, and what the signer answers.

One connection, one request: a line of JSON each way, the request bounded before it is parsed.
Bytes are hexadecimal with 0x. A request is one of :data:`Request`, a reply one of
:data:`Reply`. Both carry the version, and an unknown field is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bcfl.core.errors import AccountError, SignerRefused
from bcfl.core.strict_json import parse_json

_VERSION: Final = 1
#: A ballot of 128 members is shorter than 3 kB in hexadecimal; nothing here is much longer.
MAX_LINE_BYTES: Final = 64 * 1024

_Data = Annotated[str, Field(pattern=r"^0x(?:[0-9a-f]{2})*$")]
_Word = Annotated[int, Field(ge=0, lt=2**256)]
_Number = Annotated[int, Field(ge=0, lt=2**64)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1] = _VERSION


class Identify(_Line):
    """Say who you are, and for which task."""

    op: Literal["identify"] = "identify"


class Sign(_Line):
    """Sign this EIP-712 ``full_message``, its bytes in hexadecimal."""

    op: Literal["sign"] = "sign"
    message: dict[str, Any]


class Pay(_Line):
    """Sign this call of the task's contract as an EIP-1559 transaction."""

    op: Literal["pay"] = "pay"
    chain_id: _Number
    to: str
    data: _Data
    value: _Word
    nonce: _Number
    gas: _Number
    max_fee: _Word
    tip: _Word


class Unseal(_Line):
    """Open this slot of a sealed blob."""

    op: Literal["unseal"] = "unseal"
    slot: _Data


Request = Annotated[Identify | Sign | Pay | Unseal, Field(discriminator="op")]


class Identity(_Line):
    """The signer's account, and the task that its owner started it for."""

    address: str
    public_key: _Data
    chain_id: _Number
    contract: str  #: empty where the signer knows none yet
    rpc_url: str


class Answer(_Line):
    """A signature, a signed transaction, or what was in a slot."""

    data: _Data


class Failure(_Line):
    """A named refusal."""

    error: str
    message: str


Reply = Identity | Answer | Failure

_REQUESTS: Final[TypeAdapter[Any]] = TypeAdapter(Request)
_REPLIES: Final[TypeAdapter[Any]] = TypeAdapter(Reply)


def read_request(line: bytes) -> Identify | Sign | Pay | Unseal:
    """The request that a line says.

    Raises
    ------
    SignerRefused
        It is none of this version, or too long.
    """
    found: Identify | Sign | Pay | Unseal = _read(_REQUESTS, line, "a request to a signer")
    return found


def read_reply(line: bytes) -> Identity | Answer | Failure:
    """The reply that a line says; raises SignerRefused for what is none."""
    found: Identity | Answer | Failure = _read(_REPLIES, line, "a signer's reply")
    return found


def write_line(words: _Line) -> bytes:
    """One line of JSON."""
    return words.model_dump_json().encode() + b"\n"


def hex_of(value: Any) -> Any:
    """A message as JSON can say it: bytes become hexadecimal, all else stays."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: hex_of(each) for key, each in value.items()}
    return [hex_of(each) for each in value] if isinstance(value, list) else value


def data_of(text: Any) -> bytes:
    """Bytes from hexadecimal with 0x; raises SignerRefused for what is none."""
    if isinstance(text, str) and re.fullmatch(r"0x(?:[0-9a-f]{2})*", text):
        return bytes.fromhex(text[2:])
    raise SignerRefused(f"expected bytes, 0x and hexadecimal digits; found {text!r:.40}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a signer listens: a Unix socket, or a port of the loopback interface."""

    path: Path | None = None
    port: int = 0

    def __str__(self) -> str:
        return f"127.0.0.1:{self.port}" if self.path is None else f"unix:{self.path}"


def parse_endpoint(text: str) -> Endpoint:
    """``unix:/path.sock``, ``/path.sock`` or ``127.0.0.1:PORT``.

    Raises
    ------
    AccountError
        It is neither; no other address than the loopback's is one.
    """
    host, _, port = text.rpartition(":")
    if host == "127.0.0.1" and port.isdecimal() and int(port) < 2**16:
        return Endpoint(port=int(port))
    path = text.removeprefix("unix:")
    if path.startswith("/"):
        return Endpoint(Path(path))
    raise AccountError(
        f"a signer listens at unix:/path.sock, or at 127.0.0.1:PORT; found {text!r:.100}"
    )


def _read(adapter: TypeAdapter[Any], line: bytes, what: str) -> Any:
    if len(line) > MAX_LINE_BYTES:
        raise SignerRefused(f"{what} has at most {MAX_LINE_BYTES} bytes; found more")
    try:
        return adapter.validate_python(parse_json(line))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SignerRefused(
            f"expected {what} of version {_VERSION}; {where}: {first['msg']}"
        ) from None
    except (ValueError, RecursionError):
        raise SignerRefused(f"expected {what}, a line of JSON; found none") from None
