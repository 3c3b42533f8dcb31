"""What ``bcfl demo market`` plays: every role in this process, a turn at a time."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bcfl.amounts import in_ether
from bcfl.chain import EmbeddedChain
from bcfl.cli.market_programs import Request, keep, launch_task, outcome_of, train
from bcfl.experiment.market.example_data import write_example
from bcfl.keys import derive_account
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.fusion.fused_arrays import save_fused
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.training import ContributorTraining
from bcfl.market.roles.access import Session
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.history import read_history
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.turn import Role
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.terms import TaskRules
from bcfl.store import LocalStore

#: What the contributors train, in turn: models of different kinds become one.
_ARCHITECTURES: Final = ("mlp", "cnn")
_ETHER: Final = 10**18
_REWARD, _FEE, _STAKE, _BOND = _ETHER // 10, _ETHER // 1000, _ETHER // 20, _ETHER // 100
_TASK: Final = 1


class _Stage:
    """Who plays, on one market; tells what each of them does, and the gas that it took."""

    def __init__(
        self,
        chain: EmbeddedChain,
        stack: ExitStack,
        folder: Path,
        seed: int,
        tell: Callable[[str], None],
    ) -> None:
        self.chain, self.folder, self.tell = chain, folder, tell
        self._stack, self._seed = stack, seed
        self._connection = stack.enter_context(chain.connect(chain.coordinator))
        self.ledger = MarketLedger.deploy(
            self._connection, chain.wait_until, bond=_BOND, draw_delay=2
        )
        self._sessions: dict[str, tuple[Session, int]] = {}
        self._told = self._connection.block_number()
        self.roles: dict[str, Role] = {}

    def session(self, name: str) -> Session:
        """Of somebody with one ether and an own key; the first one is rich, and has the folder."""
        # the keys are those that `bcfl audit` has by the seed, the folder the one that it reads
        account, own = self.chain.coordinator, self.folder
        if number := len(self._sessions):
            account = derive_account(self._seed, "member", number - 1)
            own = self.folder / name.replace(" ", "-")
            self.chain.fund(account.address, _ETHER)
        connection = self._stack.enter_context(self.chain.connect(account))
        ledger = MarketLedger.attach(connection, self.ledger.address, self.chain.wait_until)
        store = LocalStore(self.folder / "blobs")
        session = Session(self.chain, ledger, store, account, own, _ETHER, _ETHER)
        self._sessions[name] = session, self._connection.balance(account.address)
        return session

    def say(self, who: str, line: str) -> None:
        """What somebody did; transactions are those since the last line."""
        hashes = dict.fromkeys(event.transaction for event in self.ledger.events(self._told + 1))
        self._told = self._connection.block_number()
        gas = sum(self._connection.receipt(each).gas for each in hashes)
        self.tell(f"{who}: {line}" + (f" [{gas:,} gas]" if gas else ""))

    def turns(self) -> bool:
        """Everybody takes a turn; whether anybody did something."""
        done = False
        for name, role in self.roles.items():
            turn = role.turn()
            for line in (*turn.actions, *turn.troubles):
                self.say(name, line)
            done = done or bool(turn.actions)
        return done

    def conclude(self) -> None:
        """Tell what each has now that they had not; and write who is who, for a report."""
        names = {}
        for name, (session, before) in self._sessions.items():
            gain = self._connection.balance(session.account.address) - before
            self.tell(f"  {name:<14} {gain / _ETHER:+.6f} ether")
            names[session.account.address] = name
        (self.folder / "names.json").write_text(json.dumps(names, indent=1) + "\n")


def play_market(
    folder: Path,
    contributors: int,
    verifiers: int,
    epochs: int,
    seed: int,
    tell: Callable[[str], None],
) -> None:
    """Play it in ``folder``, and say what happens.

    Raises
    ------
    BcflError
        A part of it failed, as that part says.
    """
    with EmbeddedChain(folder / "chain.jsonl", seed) as chain, ExitStack() as stack:
        stage = _Stage(chain, stack, folder, seed, tell)
        tell("1. A chain inside this process stands for Ethereum.")
        tell(f"   The marketplace is a contract, {stage.ledger.address}; nobody has power over it.")
        write_example("digits", None, max(2, contributors), seed, folder / "data")
        tell("2. The initiator has a problem, digits to be read, and money, but no data.")
        session = stage.session("initiator")
        initiator = _ask(stage, session, contributors, verifiers)
        tell("3. Verifiers lend their computers. Each leaves a bond, and may be drawn by lot.")
        for number in range(1, verifiers + 1):
            _enter(stage, f"verifier {number}")
        for number in range(contributors):
            kind = _ARCHITECTURES[number % len(_ARCHITECTURES)]
            tell(f"4.{number + 1} Contributor {number + 1} has data, and sells a model ({kind}).")
            _sell(stage, number, kind, epochs)
        tell("5. The task is over: everybody takes what is theirs.")
        while stage.turns():
            pass
        tell("6. The initiator opens what it bought, and makes one model of it.")
        fused = initiator.fused()
        keep(session, _TASK, seed)
        if fused.layers is None:
            tell("   No model was accepted, and none was paid for; more --epochs may help.")
        else:
            save_fused(fused, path := folder / "fused.safetensors")
            tell(f"   {len(fused.models)} models, accuracy {fused.accuracy:.4f}: {path}")
        tell("Gained and spent, gas included:")
        stage.conclude()
    where = shlex.quote(str(folder))
    tell(f"Check it:    bcfl audit {where}")
    tell(f"Look at it:  bcfl report {where} --names {shlex.quote(str(folder / 'names.json'))}")
    tell("With Flower: bcfl run strategy=model_fusion clients=6")
    tell("By oneself:  bcfl market --help")


def _ask(stage: _Stage, session: Session, submissions: int, seats: int) -> Initiator:
    request = Request(
        name="digits",
        verification=stage.folder / "data" / "verification.npz",
        rules=TaskRules(_REWARD, _FEE, mafr=500_000, seats=seats, quorum=seats // 2 + 1),
        fitness=FitnessRules(least_gain_ppm=-20_000),
        submissions=submissions,
        stake=_STAKE,
        open_s=86_400,
        window_s=3600,
        recommended="mlp",
        fusion_share=0.1,
        measuring_sets=1,
    )
    launch_task(session, request, lambda line: stage.say("initiator", line))
    stage.roles["initiator"] = role = Initiator(session, _TASK)
    return role


def _enter(stage: _Stage, name: str) -> None:
    session = stage.session(name)
    role = Verifier(session, (_TASK,))
    role.enter(_TASK)
    bond = in_ether(session.ledger.bond(_TASK))
    stage.say(name, f"entered the pool, with a bond of {bond}")
    stage.roles[name] = role


def _sell(stage: _Stage, number: int, architecture: str, epochs: int) -> None:
    """Train, submit, and let everybody act until the submission has an outcome."""
    session = stage.session(name := f"contributor {number + 1}")
    stage.roles[name] = role = Contributor(session)
    data, training = stage.folder / "data" / f"part-{number}.npz", ContributorTraining(epochs)
    model = train(
        role.description(_TASK),
        data,
        architecture,
        training,
        number,
        lambda line: stage.say(name, line),
    )
    submission = role.submit(_TASK, model)
    stage.say(name, f"submitted it sealed, with a stake of {in_ether(_STAKE)}")
    while read_history(stage.ledger).pending():
        if not stage.turns():
            stage.chain.wait_until(stage.ledger.now())  # the next block
    submitted = read_history(stage.ledger).submissions[submission]
    stage.tell(f"   The model of {name} is {outcome_of(submitted, _REWARD)}.")
