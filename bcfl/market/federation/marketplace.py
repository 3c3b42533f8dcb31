"""One market among Flower nodes, from its launch to settling up, as the server sees it.

PROTOCOL, System B, contract events 1 and 2. The server only tells nodes when to look; what
they and the initiator then do is ``bcfl.market.roles``'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.common.logger import log

from bcfl.amounts import in_ether
from bcfl.chain.chain import Chain
from bcfl.chain.connection import Connection
from bcfl.core.errors import (
    ArtifactError,
    BlobError,
    CodecError,
    ConfigurationError,
    ProtocolError,
)
from bcfl.keys.accounts import DEVELOPMENT_CHAINS
from bcfl.market.contract.ledger import SAFE_DRAW_DELAY, MarketLedger
from bcfl.market.federation.nodes import Federation
from bcfl.market.federation.records import Order
from bcfl.market.roles.access import Session, open_store
from bcfl.market.roles.history import SubmissionLog, expect_task, read_history, state_of
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.opening import fetch_offer
from bcfl.market.spec.terms import Conditions, MarketPhase, Submission, Task, TaskRules
from bcfl.market.statement import statement_of
from bcfl.market.task_file import MarketTask, read_market_task

#: What a person sees of a submission's phases.
_NAMES = {
    MarketPhase.DRAW: "draw",
    MarketPhase.GRANT: "grant",
    MarketPhase.SHARE: "share",
    MarketPhase.SEAL: "verify",
    MarketPhase.REVEAL: "report",
    MarketPhase.DISCLOSE: "pay",
}


class Marketplace:
    """A market, deployed here, and one task on it.

    Parameters
    ----------
    chain : Chain
        Is waited for where nobody has anything to do before a deadline.
    connection : Connection
        Sends as ``chain.coordinator``.
    bond_wei : int
        The least that a verifier deposits.
    market : str or None
        A marketplace to come to; None: one is deployed.
    store : str
        For nodes that name none of their own, see ``client_app``.
    folder : Path
        Has ``market.json``, and ``roles/`` for nodes that name no folder of their own.
    seed : int
        Of development keys in simulations.
    resume : bool
        Go on with the task that is in ``folder``, if one was begun there.

    Raises
    ------
    ConfigurationError
        A task was begun in the folder, and ``resume`` is not asked for; or its market is not
        on the chain any more.
    """

    def __init__(
        self,
        chain: Chain,
        connection: Connection,
        federation: Federation,
        *,
        bond_wei: int,
        market: str | None,
        store: str,
        folder: Path,
        seed: int,
        resume: bool = False,
    ) -> None:
        self._chain = chain
        self._connection = connection
        self._federation = federation
        self.store = open_store(store)
        kept = read_market_task(folder)
        if kept is not None and not resume:
            raise ConfigurationError(
                f"{folder} holds a task already: to go on with it, ModelFusion(resume=True); else "
                "name another folder"
            )
        self._goes_on = kept is not None
        if kept is not None:
            self.ledger = _attach(connection, chain, kept, folder)
        elif market:
            self.ledger = MarketLedger.attach(connection, market, chain.wait_until)
        else:
            delay = draw_delay_of(connection)
            self.ledger = MarketLedger.deploy(
                connection, chain.wait_until, bond=bond_wei, draw_delay=delay
            )
        roles = str((folder / "roles").absolute())
        chain_id = connection.chain_id
        self._order = Order(chain.url, chain_id, self.ledger.address, seed, store, roles)
        self._folder = folder
        known = seed if chain_id in DEVELOPMENT_CHAINS else None
        self._kept = kept or MarketTask(
            chain_id, self.ledger.address, self.ledger.account, self.ledger.deployed_at, known
        )
        self._kept.write(folder)
        self.initiator: Initiator  #: once there is a task

    @property
    def nodes(self) -> list[str]:
        """The nodes' addresses, in order."""
        return self._federation.addresses

    def gather(self, least: int, seats: int, allowance_wei: int) -> None:
        """Wait for nodes, and give each an allowance.

        Raises
        ------
        ConfigurationError
            There are too few for a panel.
        NobodyLeft
            Fewer than ``least`` are there.
        """
        self._federation.meet(least, self._order)
        if len(self.nodes) <= seats:
            raise ConfigurationError(
                f"a panel of {seats}, beside the contributor, needs {seats + 1} nodes; found "
                f"{len(self.nodes)}: lower seats and quorum"
            )
        for address in self.nodes if allowance_wei else []:
            # a run that goes on has given it to those who have something
            if not (self._goes_on and self._connection.balance(address)):
                self._chain.fund(address, allowance_wei)

    def launch(self, description: bytes, rules: TaskRules, conditions: Conditions) -> None:
        """Launch the task, with its deposit, and ask all nodes into its pool."""
        # known before it is launched: killed in between, a resumed run finds it on the chain
        self._keep(description=description.hex())
        self._play(self.ledger.launch(description, rules, conditions).task)

    def go_on(self) -> bool:
        """Go on with the task that was launched before; False where none was."""
        task, account = self._kept.task, self.ledger.account
        if not task:
            for number, launched in read_history(self.ledger).launched.items():
                if (launched.initiator, launched.description.hex()) == (
                    account,
                    self._kept.description,
                ):
                    task = number
        if not task:
            return False
        self._play(task)
        return True

    def _play(self, task: int) -> None:
        self._keep(task=task)
        folder = self._folder / "roles"
        self.initiator = Initiator(
            Session(self._chain, self.ledger, self.store, self._chain.coordinator, folder), task
        )
        if not self.terms.is_closed(self.ledger.now()):
            self.admit(self.nodes)

    @property
    def terms(self) -> Task:
        """The task as it stands."""
        return expect_task(self.ledger, self.initiator.task)

    def _keep(self, **fields: Any) -> None:
        self._kept = replace(self._kept, **fields)
        self._kept.write(self._folder)

    def had_turn(self, turn: int) -> bool:
        """Whether a later node than that one, from 0, has submitted to a task that goes on."""
        later = set(self.nodes[turn + 1 :])
        submitted = read_history(self.ledger).of_task(self.initiator.task)
        return self._goes_on and any(each.contributor in later for each in submitted)

    def submitted_before(self, contributor: str) -> bytes | None:
        """What this node has submitted to a task that goes on; the newest."""
        submitted = read_history(self.ledger).of_task(self.initiator.task)
        own = [each.digest for each in submitted if each.contributor == contributor]
        return own[-1] if own and self._goes_on else None

    def admit(self, nodes: Iterable[str]) -> None:
        """Ask these nodes into the task's pool: each looks at the terms and its owner's cap."""
        self._federation.order(nodes, self._order.to("enter", self.initiator.task))
        self._warn("%s did not enter the task's pool: %s")

    def ask(self, contributor: str) -> Message:
        """The message that asks a node for a model, once no other is under way.

        While a submission that a node has kept from us waits for its panel, nobody else could
        leave the pool to submit.
        """
        for submitted in read_history(self.ledger).pending(self.initiator.task):
            self.see_through(submitted.digest, lambda phase: None, {})
        order = self._order.to("contribute", self.initiator.task)
        return self._federation.train_message(contributor, order)

    def submission(self, contributor: str, replies: Iterable[Message]) -> bytes:
        """The digest of what a node has submitted, checked against the chain.

        Raises
        ------
        ProtocolError
            It did not answer, or names a submission that is not its own to this task.
        """
        digest = self._federation.contribution(contributor, replies).submission
        found = read_history(self.ledger).submissions.get(digest)
        expected = (contributor, self.initiator.task)
        if found is None or (found.contributor, found.task) != expected:
            raise ProtocolError(
                f"expected a submission of its own to this task; found {digest.hex()}"
            )
        return digest

    def see_through(
        self, submission: bytes, on_phase: Callable[[str], None], seconds: dict[str, float]
    ) -> SubmissionLog:
        """Ask whoever may have something to do to look, until there is an outcome.

        Parameters
        ----------
        on_phase : callable
            Told the phase's name when it begins.
        seconds : dict
            By phase; added to.
        """
        while True:
            began = time.monotonic()
            submitted = read_history(self.ledger).submissions[submission]
            if submitted.outcome is not None:
                return submitted
            found = state_of(self.ledger, submitted)
            if found.phase.is_final:
                continue  # since the events were read
            name = _NAMES[found.phase]
            on_phase(name)
            self._look(submitted, found)
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - began

    def gas_of(self, transaction: str) -> int:
        """What a transaction cost."""
        return self._connection.receipt(transaction).gas

    def size_of(self, submitted: SubmissionLog) -> int:
        """Bytes of the sealed model; 0 where its offer cannot be read, as its verifiers report."""
        try:
            return fetch_offer(self.store, submitted).size_bytes
        except (BlobError, CodecError):
            return 0

    def settle_up(self, patience_s: int) -> None:
        """Have verifiers leave with what is theirs; what is left returns to the initiator.

        A task that closes later than ``patience_s`` from now is not waited for, unless waiting
        costs no time.
        """
        while not (turn := self.initiator.turn()).finished:
            if turn.troubles or self._is_far(turn.wake, patience_s):
                log(
                    WARNING,
                    "what is left of the deposit can be collected once task %s of the market %s "
                    "is closed (`bcfl market collect`) %s",
                    self.initiator.task,
                    self.ledger.address,
                    "; ".join(turn.troubles),
                )
                break
            if not turn.actions and turn.wake is not None:
                self._chain.wait_until(turn.wake)
        self._federation.order(self.nodes, self._order.to("turn"))
        self._federation.order(self.nodes, self._order.to("leave", self.initiator.task))
        self._warn("%s did not leave, its money waits on the chain: %s")
        left = self._connection.balance(self.ledger.address)
        log(INFO, "left on the contract: %s", in_ether(left))
        self._keep(statement=statement_of(self.ledger.events(), self.initiator.task))

    def _look(self, submitted: SubmissionLog, found: Submission) -> None:
        turn = self.initiator.turn()
        people = {submitted.contributor, *(seat for seat in found.panel if seat is not None)}
        if found.phase is MarketPhase.DRAW:
            people = {*self.nodes}  # anyone draws
        replies = self._federation.order(people, self._order.to("turn"))
        for who, lines in [
            ("the initiator", turn.troubles),
            *((who, reply.troubles) for who, reply in replies.items()),
        ]:
            for line in lines:
                log(WARNING, "%s: %s", who, line)
        self._warn("%s: %s")
        # whether something was done is the chain's to say: a node might say so for ever
        if state_of(self.ledger, submitted) == found:
            wakes = [time for reply in replies.values() for time in reply.wakes]
            wakes += [] if turn.wake is None else [turn.wake]
            self._chain.wait_until(max(self.ledger.now(), min([found.deadline + 1, *wakes])))

    def _warn(self, words: str) -> None:
        for who, reason in self._federation.failures.items():
            log(WARNING, words, who, reason)

    def _is_far(self, wake: int | None, patience_s: int) -> bool:
        if wake is None or self._chain.time_is_virtual:
            return False
        return wake - self.ledger.now() > patience_s


def _attach(connection: Connection, chain: Chain, kept: MarketTask, folder: Path) -> MarketLedger:
    try:
        return MarketLedger.attach(connection, kept.market, chain.wait_until, kept.deployed_at)
    except ArtifactError as error:
        raise ConfigurationError(
            f"{folder} cannot be gone on with: its market {kept.market}, with all that was "
            f"deposited and sold, is not on the chain that was found ({error})"
        ) from error


def draw_delay_of(connection: Connection) -> int:
    """Blocks to the one that draws: few where nobody who takes part makes blocks."""
    return 2 if connection.chain_id in DEVELOPMENT_CHAINS else SAFE_DRAW_DELAY
