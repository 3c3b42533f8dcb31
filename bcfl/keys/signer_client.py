"""An account whose key is in another process of its owner's: ``bcfl signer``.

Whoever starts a Flower run ships the code that a SuperNode runs, and that code can read what
its process can read. It can ask a signer for what the signer gives, and for no key.
"""

from __future__ import annotations

import socket
import time
from functools import cached_property
from typing import Any, Final

from bcfl.core import errors
from bcfl.core.errors import BcflError, SignerRefused, SignerUnreachable
from bcfl.keys.sealing import open_sealed_with
from bcfl.keys.signer_wire import (
    MAX_LINE_BYTES,
    Answer,
    Failure,
    Identify,
    Identity,
    Pay,
    Sign,
    Unseal,
    data_of,
    hex_of,
    parse_endpoint,
    read_reply,
    write_line,
)

#: What a signer may answer with, by name.
_REFUSALS: Final[dict[str, type[BcflError]]] = {
    kind.__name__: kind
    for kind in (
        errors.AccountError,
        errors.ArtifactError,
        errors.BeyondAllowance,
        errors.LedgerError,
        errors.NodeUnreachable,
        errors.ReplyMalformed,
        errors.RoundNotOpen,
        errors.SealError,
        errors.SignedAlready,
        errors.SignerRefused,
    )
}


class RemoteSigner:
    """Implements ``Wallet`` and ``Reader`` of ``bcfl.keys.signer`` by asking a signer.

    Parameters
    ----------
    address : str
        ``unix:/path.sock`` or ``127.0.0.1:PORT``: where ``bcfl signer --listen`` listens.
    timeout_s : float
        For one request, all of it. The signer asks its own node in that time.

    Raises
    ------
    AccountError
        The address is none.
    """

    def __init__(self, address: str, *, timeout_s: float = 60.0) -> None:
        self._endpoint = parse_endpoint(address)
        self._timeout_s = timeout_s

    @cached_property
    def identity(self) -> Identity:
        """The account, and the chain, contract and node that its owner started the signer for.

        Raises
        ------
        SignerUnreachable
            Nobody answers there.
        """
        reply = self._ask(Identify())
        if not isinstance(reply, Identity):
            raise SignerRefused(f"the signer at {self._endpoint} did not say who it is")
        return reply

    @property
    def address(self) -> str:
        """Checksummed address."""
        return self.identity.address

    @property
    def public_key(self) -> bytes:
        """64 bytes."""
        return data_of(self.identity.public_key)

    def sign(self, message: dict[str, Any]) -> bytes:
        """65 bytes, r ‖ s ‖ v, of an EIP-712 ``full_message``.

        Raises
        ------
        SignedAlready
            The signer has signed another such message for this round.
        RoundNotOpen
            Its node says that the round does not take it.
        SignerRefused
            It is no message of the signer's task.
        NodeUnreachable
            The signer's node does not answer.
        SignerUnreachable
            The signer does not.
        """
        return self._data(Sign(message=hex_of(message)))

    def sign_transaction(self, fields: dict[str, Any]) -> bytes:
        """The signed bytes of a call of the task's contract that the owner allowed.

        Raises
        ------
        BeyondAllowance
            The owner did not allow it, or not for so much.
        SignedAlready, RoundNotOpen, SignerRefused, NodeUnreachable, SignerUnreachable
            As :meth:`sign`: a direct commitment or ballot is one all the same.
        """
        if not isinstance(fields["to"], str):
            raise SignerRefused("a signer deploys no contract")
        return self._data(
            Pay(
                chain_id=fields["chainId"],
                to=fields["to"],
                data=hex_of(bytes(fields["data"])),
                value=fields["value"],
                nonce=fields["nonce"],
                gas=fields["gas"],
                max_fee=fields["maxFeePerGas"],
                tip=fields["maxPriorityFeePerGas"],
            )
        )

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed to this account; only the slot of its content key travels.

        Raises as ``bcfl.keys.sealing.open_sealed``, and as :meth:`sign`.
        """
        return open_sealed_with(sealed, self.public_key, self._open_slot)

    def _open_slot(self, slot: bytes) -> bytes:
        return self._data(Unseal(slot=hex_of(slot)))

    def _data(self, request: Sign | Pay | Unseal) -> bytes:
        reply = self._ask(request)
        if not isinstance(reply, Answer):
            raise SignerRefused(f"the signer at {self._endpoint} answered another question")
        return data_of(reply.data)

    def _ask(self, request: Identify | Sign | Pay | Unseal) -> Identity | Answer:
        reply = read_reply(self._exchange(write_line(request)))
        if isinstance(reply, Failure):
            raise _REFUSALS.get(reply.error, SignerRefused)(reply.message)
        return reply

    def _exchange(self, line: bytes) -> bytes:
        try:
            with self._connected() as connection:
                give_up = time.monotonic() + self._timeout_s
                connection.sendall(line)
                received = b""
                while not received.endswith(b"\n") and len(received) <= MAX_LINE_BYTES:
                    connection.settimeout(max(give_up - time.monotonic(), 0.001))
                    if not (more := connection.recv(16 * 1024)):
                        break
                    received += more
        except OSError as error:
            raise SignerUnreachable(
                f"no signer answered at {self._endpoint} ({error.strerror or error}); start one: "
                "bcfl signer --help"
            ) from None
        if not received:
            raise SignerUnreachable(f"the signer at {self._endpoint} closed without an answer")
        return received

    def _connected(self) -> socket.socket:
        endpoint = self._endpoint
        if endpoint.path is None:
            return socket.create_connection(("127.0.0.1", endpoint.port), self._timeout_s)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        try:
            connection.connect(str(endpoint.path))
        except OSError:
            connection.close()
            raise
        return connection

    def __repr__(self) -> str:
        return f"RemoteSigner({str(self._endpoint)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteSigner) and other._endpoint == self._endpoint

    def __hash__(self) -> int:
        return hash(self._endpoint)
