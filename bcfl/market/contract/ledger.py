"""The marketplace's contract, ``contracts/ModelMarketplace.vy``, to write to and to read.

Who may call what, and when, is the table in the contract. A *submission* is named by the
SHA-256 of its encrypted blob, a *task* by a number from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from bcfl.amounts import in_ether
from bcfl.chain.connection import Connection
from bcfl.chain.event import Event, Transaction
from bcfl.chain.ledger import ContractLedger
from bcfl.core.errors import AccountError, LedgerError, ReplyMalformed
from bcfl.keys.accounts import checksummed
from bcfl.market.contract.events import Launched, Seated
from bcfl.market.contract.words import (
    EVENTS,
    account_of,
    event_of,
    place_of,
    submission_of,
    task_of,
    words,
)
from bcfl.market.spec.report import Report
from bcfl.market.spec.terms import (
    Conditions,
    MarketAccount,
    MarketPhase,
    PoolPlace,
    Submission,
    Task,
    TaskRules,
    deposit,
)

#: Blocks. Ethereum's proposers are known for at most two epochs of 32 slots; and some more.
SAFE_DRAW_DELAY: Final = 72


class AboveCap(LedgerError):
    """The marketplace asks for a larger deposit than the account's owner allows."""


class MarketLedger(ContractLedger):
    """One marketplace, seen from one account. Made by :meth:`deploy` or :meth:`attach`."""

    contracts = ("ModelMarketplace",)

    @classmethod
    def deploy(
        cls,
        connection: Connection,
        wait_until: Callable[[int], None] | None,
        *,
        bond: int = 0,
        draw_delay: int = SAFE_DRAW_DELAY,
    ) -> Self:
        """Open a marketplace. Whoever does has no power over it.

        Parameters
        ----------
        connection : Connection
            With a signer.
        wait_until : callable
            How time passes on this chain: its ``wait_until``.
        bond : int
            The least wei that a verifier deposits to enter a task's pool.
        draw_delay : int
            Blocks, 2 to 128, from a submission to the block that draws its panel. 2 is enough
            where nobody who takes part makes blocks, as on a development chain.
        """
        return cls._deploy(connection, wait_until, cls.contracts[0], bond, draw_delay)

    @property
    def account(self) -> str:
        """Who sends from here."""
        if self._connection.signer is None:
            raise AccountError("this ledger only reads: attach it with a signer")
        return self._connection.signer.address

    @property
    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return self._connection.chain_id

    @property
    def least_bond(self) -> int:
        """Wei that a verifier deposits at least to enter a task's pool."""
        return int(self._read("BOND"))

    @property
    def draw_delay(self) -> int:
        """Blocks from a submission to the block that draws its panel."""
        return int(self._read("DRAW_DELAY"))

    def bond(self, task: int, *, most_wei: int | None = None) -> int:
        """Wei that a verifier deposits to enter this task's pool; raises as :meth:`enter`."""
        bond = int(self._read("bond", task))
        self._expect_below_cap("bond", task, bond, bond if most_wei is None else most_wei)
        return bond

    def launch(self, description: bytes, rules: TaskRules, conditions: Conditions) -> Launched:
        """Deposit the price of all submissions and ask for models."""
        sent = self._write(
            "launch",
            description,
            words(rules),
            words(conditions),
            value=deposit(rules, conditions),
        )
        for event in self.events_of(sent.hash):
            if isinstance(event, Launched):
                return event
        raise ReplyMalformed(f"transaction {sent.hash} launched a task and logged none")

    def collect(self, task: int) -> Transaction:
        """Turn what is left of a closed task's deposit into its initiator's credit."""
        return self._write("collect", task)

    def tasks(self) -> int:
        """How many tasks there are."""
        return int(self._read("tasks"))

    def task(self, task: int) -> Task | None:
        """A task as it stands; None if there is none of that number."""
        return task_of(self._read("task", task))

    def register(self, public_key: bytes) -> Transaction:
        """Become a verifier, with one's own key (64 bytes, x ‖ y); once and for good."""
        return self._write("register", public_key)

    def enter(self, task: int, *, most_wei: int) -> Transaction:
        """Come into a task's pool, with its bond.

        Raises
        ------
        AboveCap
            The bond is more than ``most_wei``.
        """
        return self._write("enter", task, value=self.bond(task, most_wei=most_wei))

    def leave(self, task: int) -> Transaction:
        """Go out of a task's pool; the bond becomes credit."""
        return self._write("leave", task)

    def entered(self, task: int) -> int:
        """How many verifiers are in a task's pool now."""
        _, _, entered = self._read("row", task)
        return int(entered)

    def pool(self, task: int) -> Mapping[str, bytes]:
        """Who is in a task's pool now, with public keys, in the order of registration."""
        entered = {
            str(log.arguments["verifier"])
            for log in self._logs("Entered")
            if log.arguments["task"] == task
        }
        keys = self.verifiers()
        return {who: keys[who] for who in keys if who in entered and self.place_of(task, who).is_in}

    def place_of(self, task: int, verifier: str) -> PoolPlace:
        """Where a verifier stands in a task's pool; zeros if it was never there."""
        return place_of(self._read("place", task, checksummed(verifier)))

    def seats_of(self, verifier: str, from_block: int = 0) -> Sequence[Seated]:
        """Every seat that a verifier was ever drawn for, in the chain's order."""
        logs = self._logs("Seated", from_block=from_block)
        seats = (event_of(log) for log in logs)
        return [
            seat
            for seat in seats
            if isinstance(seat, Seated) and seat.verifier == checksummed(verifier)
        ]

    def verifiers(self) -> Mapping[str, bytes]:
        """Who ever registered as a verifier, with public keys, in that order."""
        return {
            str(log.arguments["verifier"]): bytes(log.arguments["public_key"])
            for log in self._logs("Registered")
        }

    def public_key(self, verifier: str) -> bytes:
        """Of anyone who was ever registered."""
        for log in self._logs("Registered"):
            if log.arguments["verifier"] == checksummed(verifier):
                return bytes(log.arguments["public_key"])
        raise LedgerError(f"{verifier} was never registered as a verifier: it has no public key")

    def submit(
        self, task: int, submission: bytes, key_commitment: bytes, *, most_wei: int
    ) -> Transaction:
        """Offer a model, with the task's stake.

        Raises
        ------
        AboveCap
            The stake is more than ``most_wei``.
        """
        stake = self.stake(task, most_wei=most_wei)
        return self._write("submit", task, submission, key_commitment, value=stake)

    def stake(self, task: int, *, most_wei: int) -> int:
        """Wei that a submission to this task stakes; raises as :meth:`submit`."""
        terms = self.task(task)
        stake = terms.conditions.stake if terms is not None else 0
        self._expect_below_cap("stake", task, stake, most_wei)
        return stake

    def blocks_since_anchor(self, submission: Submission) -> int:
        """How many blocks lie on the one that draws; 1 or more: it can be drawn by.

        One block further than the contract asks for, because nodes estimate gas as if in the
        newest block.
        """
        return self._connection.block_number() - submission.anchor

    def draw(self, submission: bytes) -> Transaction:
        """Wait for the anchor block, then draw the panel, or arm the draw again."""
        found = self.submission(submission)
        if found is not None and found.phase is MarketPhase.DRAW:
            while self.blocks_since_anchor(found) < 1:
                self.wait_until(self.now())
        return self._write("draw", submission)

    def grant(self, submission: bytes, opening: bytes) -> Transaction:
        """Initiator: the digest of the blob that opens to the panel what it measures by."""
        return self._write("grant", submission, opening)

    def share(self, submission: bytes, keys: bytes) -> Transaction:
        """Contributor: the digest of the blob that opens the model to the panel."""
        return self._write("share", submission, keys)

    def seal_report(self, submission: bytes, seal: bytes) -> Transaction:
        """Panel: ``bcfl.market.spec.report.seal``."""
        return self._write("seal", submission, seal)

    def reveal_report(self, submission: bytes, report: Report, salt: bytes) -> Transaction:
        """Panel: the report that was sealed, with the salt it was sealed with."""
        return self._write("reveal", submission, report.fitness, int(report.reason), salt)

    def disclose(self, submission: bytes, secret: bytes) -> Transaction:
        """Publish the secret of an accepted model; its contributor is paid in the same step."""
        return self._write("disclose", submission, secret)

    def settle(self, submission: bytes) -> Transaction:
        """Draw the consequences of a deadline that has passed."""
        return self._write("settle", submission)

    def submission(self, submission: bytes) -> Submission | None:
        """A submission as of the newest block; None if there is none of that digest."""
        return submission_of(self._read("submission", submission))

    def withdraw(self) -> Transaction:
        """Take everything that the market owes this account."""
        return self._write("withdraw")

    def account_of(self, owner: str) -> MarketAccount:
        """What the market knows of an address; zeros if it was never here."""
        return account_of(self._read("account", checksummed(owner)))

    def events(self, from_block: int = 0) -> Sequence[Event]:
        """Every event of this contract, in the chain's order."""
        return [event_of(log) for log in self._logs(*EVENTS, from_block=from_block)]

    def events_of(self, transaction: str) -> Sequence[Event]:
        """The events of this contract in one transaction, looked up by its number."""
        logs = self._connection.events_of(self._contract, transaction)
        return [event_of(log) for log in logs]

    def _expect_below_cap(self, what: str, task: int, asked: int, most_wei: int) -> None:
        if asked > most_wei:
            raise AboveCap(
                f"task {task} asks for a {what} of {in_ether(asked)}; at most "
                f"{in_ether(most_wei)} are allowed here: allow more (--max-{what}, "
                "in ether; on a node, bcfl-stake-wei), or choose another task"
            )
