"""What system B needs of a chain: the marketplace's contract, to write to and to read.

The pure protocol on one side, Ethereum on the other (``bcfl.market.contract.ledger``). Who may
call what, and when, is the table in ``contracts/ModelMarketplace.vy``. Every method that writes
sends from this ledger's own account and returns once its transaction is mined; every method
raises ``LedgerError`` and nothing else of its own: ``ContractReverted``, with the contract's
reason, where the contract refuses.

A *submission* is named by the SHA-256 of its encrypted blob, a *task* by a number from 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bcfl.consensus.contract.events import Event, Transaction
from bcfl.market.contract.events import Launched
from bcfl.market.spec.report import Report
from bcfl.market.spec.terms import Conditions, MarketAccount, Rules, Submission, Task

__all__ = ["MarketLedger"]


class MarketLedger(Protocol):
    """One marketplace, seen from one account."""

    @property
    def address(self) -> str:
        """The contract's, checksummed."""

    @property
    def account(self) -> str:
        """Who sends from here; raises AccountError on a ledger that only reads."""

    @property
    def bond(self) -> int:
        """Wei that a verifier deposits when it registers."""

    def now(self) -> int:
        """The newest block's timestamp in seconds: the one clock that everybody shares."""

    def wait_until(self, timestamp: int) -> None:
        """Return once the next block will be later than ``timestamp`` (seconds, chain time)."""

    # Tasks.

    def launch(self, description: bytes, rules: Rules, conditions: Conditions) -> Launched:
        """Deposit ``bcfl.market.spec.terms.deposit`` and ask for models; the event names the task."""

    def collect(self, task: int) -> Transaction:
        """Turn what is left of a closed task's deposit into its initiator's credit. Anyone."""

    def tasks(self) -> int:
        """How many tasks there are."""

    def task(self, task: int) -> Task | None:
        """A task as it stands; None if there is none of that number."""

    # Verifiers.

    def register(self, public_key: bytes) -> Transaction:
        """Become a verifier: deposit the bond, publish one's own key (64 bytes, x ‖ y)."""

    def leave(self) -> Transaction:
        """Stop being a verifier; the bond becomes credit."""

    def verifiers(self) -> Mapping[str, bytes]:
        """Who is registered now, with public keys."""

    def public_key(self, verifier: str) -> bytes:
        """Of anyone who was ever registered; raises LedgerError for others."""

    # A submission, in the order of its phases.

    def submit(self, task: int, submission: bytes, key_commitment: bytes) -> Transaction:
        """Offer a model, with the task's stake."""

    def draw(self, submission: bytes) -> Transaction:
        """Draw the panel, or arm the draw again; the phase then tells. Anyone.

        Waits for the anchor block first.
        """

    def grant(self, submission: bytes, models: bytes) -> Transaction:
        """Initiator: the digest of the blob that opens the models bought before."""

    def share(self, submission: bytes, keys: bytes) -> Transaction:
        """Contributor: the digest of the blob that opens the model to the panel."""

    def seal_report(self, submission: bytes, seal: bytes) -> Transaction:
        """Panel: ``bcfl.market.spec.report.seal``."""

    def reveal_report(self, submission: bytes, report: Report, salt: bytes) -> Transaction:
        """Panel: the report that was sealed, with the salt it was sealed with."""

    def disclose(self, submission: bytes, secret: bytes) -> Transaction:
        """Publish the secret of an accepted model; its contributor is paid in the same step."""

    def settle(self, submission: bytes) -> Transaction:
        """Draw the consequences of a deadline that has passed. Anyone."""

    def submission(self, submission: bytes) -> Submission | None:
        """A submission as of the newest block; None if there is none of that digest."""

    # Money.

    def withdraw(self) -> Transaction:
        """Take everything that the market owes this account."""

    def account_of(self, owner: str) -> MarketAccount:
        """What the market knows of an address; zeros if it was never here."""

    # Events.

    def events(self, from_block: int = 0) -> Sequence[Event]:
        """Every event of this contract (``bcfl.market.contract.events``), in the chain's order."""

    def events_of(self, transaction: str) -> Sequence[Event]:
        """The events of this contract in one transaction, looked up by its number.

        Raises
        ------
        TransactionUnknown
            The chain has no such transaction, or it reverted.
        """
