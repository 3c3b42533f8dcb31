"""What a signer has signed and paid: on the disk before anybody is given the signature.

A file beside the key file, one for all chains and tasks of the account; whoever has it open
holds its lock. Where it is lost, a second, different message can be signed for a round: so it is
kept, and moves, with the key file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from filelock import FileLock, Timeout

from bcfl.consensus.signer.messages import MemberMessage, contradict
from bcfl.consensus.spec.domain import TypedDataDomain
from bcfl.core.errors import AccountError, AuditError, SignedAlready, SignerRefused
from bcfl.files import Journal
from bcfl.keys.signer_wire import hex_of

_PAYMENT: Final = "payment"
_TASK: Final = "task"


class _Key(NamedTuple):
    """What there is one message of."""

    chain_id: int
    contract: str
    round: int
    kind: str


def _key(message: MemberMessage) -> _Key:
    domain = message.full_message["domain"]
    return _Key(
        domain["chainId"], domain["verifyingContract"], message.values["round"], message.kind
    )


@dataclass(frozen=True, slots=True)
class Payment:
    """A transaction that was signed. Of one nonce, the chain takes one."""

    chain_id: int
    function: str
    nonce: int
    value: int  #: wei
    gas_cost: int  #: wei, at most
    hash: str  #: the transaction number


def record_path(key_file: Path) -> Path:
    """Beside the key file itself, also where it was named by a link."""
    file = key_file.resolve()
    return file.with_name(f"{file.name}.signed.jsonl")


class SigningRecord:
    """One message a chain, contract, round and kind, for ever; a commitment may be dated anew.

    Safe to share between threads.

    A context manager: leaving it gives the file to whoever is next.

    Parameters
    ----------
    path : Path
        Made, readable by its owner only, where it does not exist.
    address : str
        The account.

    Raises
    ------
    AccountError
        Another signer has it open, it is another account's, it is damaged, or it cannot be
        written.
    """

    def __init__(self, path: Path, address: str) -> None:
        self.path = path
        self._address = address
        self._lock = threading.Lock()
        self._broken = False
        self._signed: dict[_Key, dict[str, Any]] = {}
        self._tasks: dict[int, str] = {}
        self._payments: list[Payment] = []
        self._owned = FileLock(f"{path}.lock", timeout=0, mode=0o600, thread_local=False)
        try:
            self._owned.acquire()
        except Timeout:
            raise AccountError(
                f"another signer holds {path}; two signers with one key would sign twice: use it"
            ) from None
        except OSError as error:
            raise AccountError(f"cannot lock {path}: {error.strerror}") from None
        try:
            self._open()
        except BaseException:
            self._owned.release()
            raise

    def claim(self, message: MemberMessage) -> None:
        """Note that ``message`` is what this account says in its round; on disk on return.

        Raises
        ------
        SignedAlready
            It has said something else.
        SignerRefused
            The disk does not take it; the signer has to be started anew.
        """
        if not message.binds:
            return
        key, values = _key(message), hex_of(message.values)
        with self._lock:
            self._expect_unsaid(key, values)
            if self._signed.get(key) != values:
                self._append({**key._asdict(), "values": values})
                self._signed[key] = values

    def expect_unsaid(self, message: MemberMessage) -> None:
        """Raise SignedAlready if another such message was signed for its round."""
        if message.binds:
            with self._lock:
                self._expect_unsaid(_key(message), hex_of(message.values))

    def signed(self, message: MemberMessage, kind: str) -> dict[str, Any] | None:
        """What was last signed as ``kind`` for the message's round, bytes in hexadecimal."""
        with self._lock:
            return self._signed.get(_key(message)._replace(kind=kind)) if message.binds else None

    def said(self, domain: TypedDataDomain, kind: str, round: int) -> dict[str, Any] | None:
        """What was last signed as ``kind`` for a round of this contract, bytes in hexadecimal."""
        with self._lock:
            return self._signed.get(_Key(domain.chain_id, domain.contract, round, kind))

    def task(self, chain_id: int) -> str | None:
        """The contract that was settled on, where the owner named none."""
        with self._lock:
            return self._tasks.get(chain_id)

    def settle_on(self, domain: TypedDataDomain) -> None:
        """Keep the contract of a chain; on disk on return."""
        with self._lock:
            self._append({"kind": _TASK, **asdict(domain)})
            self._tasks[domain.chain_id] = domain.contract

    def note(self, payment: Payment) -> None:
        """Keep a payment; on disk on return. Raises SignerRefused where the disk does not."""
        with self._lock:
            self._append({"kind": _PAYMENT, **asdict(payment)})
            self._payments.append(payment)

    def payments(self, chain_id: int) -> tuple[Payment, ...]:
        """All that were signed for a chain, oldest first."""
        with self._lock:
            return tuple(one for one in self._payments if one.chain_id == chain_id)

    def close(self) -> None:
        """Let another signer have the file; nothing more is signed here."""
        with self._lock:
            self._broken = True
            self._owned.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the file's name is on the disk before the first entry is
            finally:
                os.close(folder)
            self._journal = Journal(self.path)
            self._replay(iter(self._journal))
        except OSError as error:
            raise AccountError(f"cannot open {self.path}: {error.strerror}") from None
        except (AuditError, KeyError, TypeError) as error:
            raise AccountError(
                f"{self.path} is damaged ({error}); what was signed is not known, so nothing is "
                "signed: restore it, or use another key"
            ) from None

    def _replay(self, entries: Iterator[dict[str, Any]]) -> None:
        whose = next(entries, None)
        if whose is None:
            self._append({"address": self._address})
        elif whose != {"address": self._address}:
            raise AccountError(f"{self.path} is the record of {whose}, not of {self._address}")
        for entry in entries:
            if (kind := entry.pop("kind")) == _PAYMENT:
                self._payments.append(Payment(**entry))
            elif kind == _TASK:
                self._tasks[entry["chain_id"]] = entry["contract"]
            else:
                values = entry.pop("values")
                self._signed[_Key(kind=kind, **entry)] = values

    def _expect_unsaid(self, key: _Key, values: dict[str, Any]) -> None:
        if contradict(before := self._signed.get(key, values), values):
            raise SignedAlready(
                f"this account has signed another {key.kind} for round {key.round} and signs one "
                f"only: {before}, in {self.path.name}"
            )

    def _append(self, entry: dict[str, Any]) -> None:
        # Once a write failed, what the file says is uncertain until it is read again.
        if self._broken:
            raise SignerRefused(f"{self.path} could not be written; start the signer anew")
        try:
            self._journal.append(entry)
        except OSError as error:
            self._broken = True
            raise SignerRefused(f"cannot write {self.path}: {error.strerror}") from None
