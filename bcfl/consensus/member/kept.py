"""What a member signed, and the coordinator's receipts for it: evidence for an audit.

In ``context.state``, and, where the node's owner gives a folder (``bcfl-folder``), in a file a
round: ``CONTRACT/round-N.json``, a list of what ``bcfl audit --receipt`` reads. Commitments,
seals and ballots stand there as in the coordinator's journal; a receipt has ``digest``, one for a
ballot or its seal has ``ballot``, the SHA-256 of the ballot's entries or of the seal.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context

from bcfl.consensus.spec.domain import TypedDataDomain
from bcfl.consensus.spec.messages import ballot_receipt_message, receipt_message
from bcfl.core.errors import ProtocolError
from bcfl.files import write_atomically
from bcfl.flower.identity import FOLDER
from bcfl.flower.record import config_in
from bcfl.keys.accounts import signed_by

_KEPT = "bcfl-kept"
#: What a ballot receipt may be for, by kind: where its entry has what was signed.
_SAID = {"ballot": "entries", "seal": "seal", "proposal": "members"}


class Kept:
    """One round's evidence.

    Parameters
    ----------
    context : Context
    contract : str
        The task's.
    round : int
        The contract's.
    """

    def __init__(self, context: Context, contract: str, round: int) -> None:
        self._state = context.state
        self._contract = contract
        self._round = round
        folder = context.node_config.get(FOLDER)
        self._path = (
            None if folder is None else Path(str(folder)) / contract / f"round-{round}.json"
        )

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Oldest first."""
        kept = config_in(self._state, _KEPT) or ConfigRecord()
        found: list[dict[str, Any]] = json.loads(str(kept.get(str(self._round), "[]")))
        return found

    def has(self, kind: str) -> bool:
        """Whether this round's commitment, seal or ballot was given to the server before."""
        return bool(self._of(kind))

    def signed(self, kind: str, member: int, signature: bytes, **said: Any) -> None:
        """Keep a commitment, a seal or a ballot; bytes in hexadecimal."""
        self._add(kind, member, signature, **said)

    def expect_receipt(self, receipt: bytes, domain: TypedDataDomain, coordinator: str) -> None:
        """Keep the coordinator's receipt for this round's commitment.

        Raises
        ------
        ProtocolError
            It is not the coordinator's, or not for what this member signed.
        """
        if not (signed := self._of("commitment")):
            return  # by a process that is gone, and kept nothing
        for entry in signed:
            digest = bytes.fromhex(entry["digest"])
            message = receipt_message(domain, self._round, entry["member"], digest)
            if signed_by(message, receipt, coordinator):
                self._add("receipt", entry["member"], receipt, digest=digest.hex())
                return
        raise ProtocolError("the server's receipt is not one for this member's commitment")

    def expect_ballot_receipt(
        self, receipt: bytes, domain: TypedDataDomain, coordinator: str
    ) -> None:
        """Keep the receipt for this round's ballot, seal or proposal. Raises ProtocolError."""
        if not (entries := [entry for kind in _SAID for entry in self._of(kind)]):
            return
        for entry in entries:
            signed = bytes.fromhex(entry[_SAID[entry["kind"]]])
            message = ballot_receipt_message(domain, self._round, entry["member"], signed)
            if signed_by(message, receipt, coordinator):
                digest = hashlib.sha256(signed).hexdigest()
                self._add("ballot receipt", entry["member"], receipt, ballot=digest)
                return
        raise ProtocolError("the server's receipt is not one for this member's ballot")

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["kind"] == kind]

    def _add(self, kind: str, member: int, signature: bytes, **said: Any) -> None:
        head = {"kind": kind, "contract": self._contract, "round": self._round, "member": member}
        entry = {**head, "signature": signature.hex(), **said}
        entries = self.entries
        if entry in entries:
            return
        kept = config_in(self._state, _KEPT) or ConfigRecord()
        kept[str(self._round)] = text = json.dumps([*entries, entry])
        self._state[_KEPT] = kept
        if self._path is not None:
            write_atomically(self._path, text.encode())
