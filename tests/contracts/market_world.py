"""A marketplace in a test EVM, its people, and the way from launch to payment.

Blocks are not mined here: every call runs in the block and at the second that ``World`` says,
and a block's hash is a function of its number.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boa
from eth_utils.crypto import keccak
from hypothesis import settings

from bcfl.keys.accounts import Account
from bcfl.keys.sealing import public_key_of
from bcfl.market.spec.report import Reason, Report, seal
from bcfl.market.spec.terms import Conditions, MarketPhase, TaskRules, bond, deposit

FUZZ = bool(os.environ.get("BCFL_FUZZ"))
#: For properties whose every example deploys a contract.
few_examples = settings(max_examples=1_000 if FUZZ else 10)

CONTRACTS = Path(__file__).parents[2] / "contracts"
ETHER = 10**18
LEAST_BOND = 10_000
DRAW_DELAY = 2
SALT = b"\x07" * 32
#: Not the second, hour and block at which boa starts, but any that never change.
START_S, START_BLOCK = 1_800_000_000, 1_000

RULES = TaskRules(reward=1_000_000, fee=1_000, mafr=500_000, seats=5, quorum=3, redraws=2)
CONDITIONS = Conditions(
    submissions=4,
    stake=600_000,
    deadline=START_S + 100_000,
    draw_window=800,
    answer_window=900,
    report_window=1_200,
)
BOND = bond(RULES, CONDITIONS, LEAST_BOND)


def word(text: str) -> bytes:
    """32 bytes that stand for ``text``."""
    return hashlib.sha256(text.encode()).digest()


def block_hash(number: int) -> bytes:
    return word(f"block {number}")


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    address: str
    public_key: bytes


@cache
def person(name: str) -> Person:
    key = word(name)
    return Person(name, Account(key).address, public_key_of(key)[1:])


INITIATOR, CONTRIBUTOR, STRANGER = map(person, ("initiator", "contributor", "stranger"))
VERIFIERS = [person(f"verifier {i}") for i in range(8)]
SECRET = word("secret")
#: Where what is burnt goes.
NOBODY = "0x" + 40 * "0"


@cache
def deployer() -> Any:
    boa.interpret.set_search_paths([str(CONTRACTS)])
    return boa.load_partial(str(CONTRACTS / "ModelMarketplace.vy"))


class World:
    """One marketplace, with everybody rich enough."""

    def __init__(self, least_bond: int = LEAST_BOND, draw_delay: int = DRAW_DELAY) -> None:
        self.travel_to(START_S, START_BLOCK)
        self.contract = deployer().deploy(least_bond, draw_delay)
        self.verifiers: list[Person] = []  # who registered
        for someone in (INITIATOR, CONTRIBUTOR, STRANGER, *VERIFIERS):
            boa.env.set_balance(someone.address, ETHER)
        self.burnt_before = int(boa.env.get_balance(NOBODY))

    # time

    @property
    def now(self) -> int:
        return int(boa.env.timestamp)

    @property
    def block(self) -> int:
        return int(boa.env.evm.patch.block_number)

    def travel_to(self, second: int, block: int) -> None:
        boa.env.timestamp = second
        boa.env.evm.patch.block_number = block
        hashes = [block_hash(number) for number in range(block - 1, block - 257, -1)]
        boa.env.evm.patch.prev_hashes = hashes

    def wait(self, seconds: int = 1, blocks: int = 1) -> None:
        self.travel_to(self.now + seconds, self.block + blocks)

    def wait_past(self, second: int) -> None:
        """To the first second after a deadline."""
        self.travel_to(max(self.now, second + 1), self.block + 1)

    # what the contract says

    def balance(self) -> int:
        return int(boa.env.get_balance(self.contract.address))

    def credit(self, someone: Person) -> int:
        return int(self.contract.account(someone.address).credit)

    def state(self, submission: bytes) -> Any:
        return self.contract.submission(submission).state

    def phase(self, submission: bytes) -> MarketPhase:
        return MarketPhase(self.state(submission).phase)

    def panel(self, submission: bytes) -> list[Person | None]:
        by_address = {someone.address: someone for someone in VERIFIERS}
        return [by_address.get(str(a)) for a in self.contract.submission(submission).panel]

    def place(self, someone: Person, task: int = 1) -> Any:
        return self.contract.place(task, someone.address)

    def is_in(self, someone: Person, task: int = 1) -> bool:
        return bool(self.place(someone, task).position)

    def burnt(self) -> int:
        """What has been burnt since this world began."""
        return int(boa.env.get_balance(NOBODY)) - self.burnt_before

    def free(self, task: int = 1) -> int:
        return int(self.contract.task(task).free)

    # what people do

    def launch(self, rules: TaskRules = RULES, conditions: Conditions = CONDITIONS) -> int:
        """A new task, whose pool everybody enters who has registered."""
        task = int(
            self.contract.launch(
                word("description"),
                terms(rules),
                terms(conditions),
                value=deposit(rules, conditions),
                sender=INITIATOR.address,
            )
        )
        self.enter(task, *self.verifiers)
        return task

    def register(self, *verifiers: Person) -> None:
        """They register, and enter the pool of every task that they are not in."""
        for someone in verifiers:
            if someone not in self.verifiers:
                self.contract.register(someone.public_key, sender=someone.address)
                self.verifiers.append(someone)
        for task in range(1, self.contract.tasks() + 1):
            self.enter(task, *(v for v in verifiers if not self.is_in(v, task)))

    def enter(self, task: int, *verifiers: Person) -> None:
        value = self.contract.bond(task)
        for someone in verifiers:
            self.contract.enter(task, value=value, sender=someone.address)

    def leave(self, someone: Person, task: int = 1) -> None:
        self.contract.leave(task, sender=someone.address)

    def submit(self, name: str = "model", by: Person = CONTRIBUTOR, task: int = 1) -> bytes:
        stake = self.contract.task(task).conditions.stake
        commitment = keccak(SECRET)
        self.contract.submit(task, word(name), commitment, value=stake, sender=by.address)
        return word(name)

    def draw(self, submission: bytes) -> list[Person | None]:
        block = max(self.block, self.state(submission).anchor + 1)
        self.travel_to(self.now + 1, block)
        self.contract.draw(submission, sender=STRANGER.address)
        return self.panel(submission)

    def grant(self, submission: bytes) -> None:
        self.contract.grant(submission, word("grant"), sender=INITIATOR.address)

    def share(self, submission: bytes, by: Person = CONTRIBUTOR) -> None:
        if self.phase(submission) is MarketPhase.GRANT:
            self.grant(submission)
        self.contract.share(submission, word("keys"), sender=by.address)

    def seal(self, submission: bytes, verifier: Person, report: Report) -> None:
        promise = seal(submission, verifier.address, report, SALT)
        self.contract.seal(submission, promise, sender=verifier.address)

    def reveal(self, submission: bytes, verifier: Person, report: Report) -> None:
        self.contract.reveal(
            submission, report.fitness, int(report.reason), SALT, sender=verifier.address
        )

    def disclose(self, submission: bytes, by: Person = CONTRIBUTOR) -> None:
        self.contract.disclose(submission, SECRET, sender=by.address)

    def settle(self, submission: bytes) -> None:
        self.contract.settle(submission, sender=STRANGER.address)

    def withdraw(self, someone: Person) -> int:
        return int(self.contract.withdraw(sender=someone.address))

    def seal_all(self, submission: bytes, panel: Sequence[Person], report: Report) -> None:
        for verifier in panel:
            self.seal(submission, verifier, report)

    def reveal_all(self, submission: bytes, panel: Sequence[Person], report: Report) -> None:
        for verifier in panel:
            self.reveal(submission, verifier, report)

    def judge(self, submission: bytes, reports: Sequence[Report]) -> list[Person]:
        """From SHARE to the verdict: the panel's k-th member reports ``reports[k]``."""
        self.share(submission)
        panel = [someone for someone in self.panel(submission) if someone]
        for verifier, report in zip(panel, reports, strict=True):
            self.seal(submission, verifier, report)
        for verifier, report in zip(panel, reports, strict=True):
            self.reveal(submission, verifier, report)
        return panel

    def reach(self, phase: MarketPhase, name: str = "model") -> bytes:
        """A new submission, brought to that phase. The task and verifiers must be there."""
        submission = word(name)
        for due, step in self._steps(submission, name, phase):
            if phase is due:
                break
            step()
        assert self.phase(submission) is phase
        return submission

    def _steps(
        self, submission: bytes, name: str, goal: MarketPhase
    ) -> Iterator[tuple[MarketPhase, Callable[[], object]]]:
        """Each phase, when the submission is in it, and how to leave it."""
        reports = {MarketPhase.REJECTED: BAD, MarketPhase.JUNK: UNOPENABLE}
        report = reports.get(goal, GOOD)
        yield MarketPhase.NONE, lambda: self.submit(name)
        if goal is MarketPhase.VOID:
            self.wait_past(self.state(submission).deadline)
            return self.settle(submission)
        yield MarketPhase.DRAW, lambda: self.draw(submission)
        yield MarketPhase.GRANT, lambda: self.grant(submission)
        yield MarketPhase.SHARE, lambda: self.share(submission)
        panel = [someone for someone in self.panel(submission) if someone]
        yield MarketPhase.SEAL, lambda: self.seal_all(submission, panel, report)
        yield MarketPhase.REVEAL, lambda: self.reveal_all(submission, panel, report)
        if goal in reports:
            return
        yield MarketPhase.DISCLOSE, lambda: self.disclose(submission)
        yield MarketPhase.PAID, lambda: None


GOOD, BAD = Report(700_000), Report(300_000)
UNOPENABLE, UNGRANTED = Report(0, Reason.UNOPENABLE), Report(0, Reason.UNGRANTED)


def refuses(reason: str) -> Any:
    """The context in which the contract reverts for exactly this reason."""
    return boa.reverts(f"model marketplace: {reason}")


def terms(values: TaskRules | Conditions) -> tuple[Any, ...]:
    """As the contract takes them: the fields in order."""
    return tuple(getattr(values, name) for name in values.__slots__)
