"""A market with people in it, on the embedded chain: who is absent lets everybody wait."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.keys.accounts import Account, derive_account
from bcfl.market.contract.events import Withdrawn
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.judging.fitness import Fitness, FitnessRules
from bcfl.market.roles.access import Session
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.description import publish_description
from bcfl.market.roles.history import MarketHistory, SubmissionLog, read_history, state_of
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.turn import Role, earliest
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.report import Report
from bcfl.market.spec.terms import Conditions, MarketPhase, TaskRules
from bcfl.market.verification_set import VerificationSet
from bcfl.store.local import LocalStore

ETHER = 10**18
BOND, STAKE = 10**16, 10**15
RULES = TaskRules(reward=10**15, fee=10**13, mafr=700_000, seats=5, quorum=3, redraws=1)
_PATIENCE = 60  #: looks at the chain that a submission may take


class Liar(Verifier):
    """Reports what it likes, without a look at the model."""

    says = Report(1_000_000)

    def examine(
        self, history: MarketHistory, submitted: SubmissionLog, *, patient: bool
    ) -> Fitness:
        return Fitness(self.says, "because")


class World:
    """One marketplace, one task, and a verifier for each of ``verifiers``."""

    def __init__(
        self,
        chain: EmbeddedChain,
        folder: Path,
        verification: VerificationSet,
        *,
        rules: TaskRules = RULES,
        verifiers: Collection[type[Verifier]] = (Verifier,) * 6,
        submissions: int = 3,
        fitness: FitnessRules | None = None,
        stake: int = STAKE,
    ) -> None:
        self.chain = chain
        self.folder = folder
        self.store = LocalStore(folder / "blobs")
        deployer = chain.connect(chain.coordinator)
        self.market = MarketLedger.deploy(deployer, chain.wait_until, bond=BOND, draw_delay=2)
        self.rules = rules
        self.accounts: dict[str, Account] = {}
        account = self.somebody("initiator").account
        self.description = publish_description(
            self.store, "test", account, verification, fitness or FitnessRules()
        )
        self.submissions, self.stake = submissions, stake
        self.task = self.launch()
        self.initiator = Initiator(self.somebody("initiator"), self.task)
        self.verifiers: dict[str, Verifier] = {}
        for index, kind in enumerate(verifiers):
            self.verify(f"verifier {index}", kind)
        self.contributors: dict[str, Contributor] = {}

    def launch(self) -> int:
        """The task's number."""
        ledger = self.somebody("initiator").ledger
        closes = ledger.now() + 10**6
        conditions = Conditions(self.submissions, self.stake, closes, 660, 700, 800)
        return ledger.launch(self.description, self.rules, conditions).task

    def somebody(self, name: str) -> Session:
        """Somebody with an ether, and a folder of its own."""
        account = derive_account(0, name, 0)
        if name not in self.accounts:
            self.chain.fund(account.address, ETHER)
        self.accounts[name] = account
        connection = self.chain.connect(account)
        wait = self.chain.wait_until
        ledger = MarketLedger.attach(connection, self.market.address, wait)
        caps = ETHER, ETHER
        return Session(self.chain, ledger, self.store, account, self.folder / name, *caps)

    def verify(self, name: str, kind: type[Verifier] = Verifier) -> Verifier:
        """A verifier that comes, and enters the task's pool."""
        self.verifiers[name] = kind(self.somebody(name))
        self.verifiers[name].enter(self.task)
        return self.verifiers[name]

    def offer(self, name: str, model: TrainedModel, kind: type[Contributor] = Contributor) -> bytes:
        """Have somebody submit a model; its digest."""
        self.contributors[name] = kind(self.somebody(name))
        return self.contributors[name].submit(self.task, model)

    def submitted(self, submission: bytes) -> SubmissionLog:
        return read_history(self.market).submissions[submission]

    def phase(self, submission: bytes) -> MarketPhase:
        return state_of(self.market, self.submitted(submission)).phase

    def see_through(
        self,
        submission: bytes,
        absent: Collection[str] = (),
        until: MarketPhase | None = None,
    ) -> SubmissionLog:
        """Let everybody who is there take turns, until there is an outcome, or that phase."""
        for _ in range(_PATIENCE):
            actions: list[str] = []
            wake: int | None = None
            for role in self.present(absent):
                submitted = self.submitted(submission)
                if submitted.outcome is not None or self.phase(submission) is until:
                    return submitted
                turn = role.turn()
                actions += turn.actions
                wake = earliest(wake, turn.wake)
            if not actions:
                deadline = state_of(self.market, self.submitted(submission)).deadline
                self.chain.wait_until(earliest(deadline, wake) or deadline)
        raise AssertionError(f"stuck in {self.phase(submission).name}")

    def present(self, absent: Collection[str] = ()) -> list[Role]:
        """Everybody who is there."""
        roles: dict[str, Role] = {"initiator": self.initiator}
        roles |= self.contributors | self.verifiers
        return [role for name, role in roles.items() if name not in absent]

    def received(self, name: str) -> int:
        """Wei that the market has ever owed somebody."""
        address = self.accounts[name].address
        taken = [
            event.amount
            for event in self.market.events()
            if isinstance(event, Withdrawn) and event.owner == address
        ]
        return self.market.account_of(address).credit + sum(taken)

    def seated(self, submission: bytes) -> list[str]:
        """The names of the panel, by seat."""
        names = {account.address: name for name, account in self.accounts.items()}
        panel = state_of(self.market, self.submitted(submission)).panel
        return [names[seat] for seat in panel if seat is not None]

    def judges(self) -> list[Account]:
        """The verifiers' accounts."""
        return [self.accounts[name] for name in self.verifiers]

    def settle_up(self) -> int:
        """Everybody takes what is theirs; how many wei stay on the contract."""
        self.chain.wait_until(self.market.now() + 10**6)
        while [action for role in self.present() for action in role.turn().actions]:
            pass
        for verifier in self.verifiers.values():
            assert not verifier.leave(self.task)  # it has left by itself
        return self.balance()

    def balance(self) -> int:
        """Wei on the contract."""
        with self.chain.connect() as connection:
            return connection.balance(self.market.address)
