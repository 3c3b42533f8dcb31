"""What ``bcfl market …`` does, a function each; ``command`` reads the command line.

Every one of them may be killed at any moment and started again with the same words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from bcfl.amounts import in_ether, in_words
from bcfl.cli.samples import load_bytes, load_samples
from bcfl.core.errors import BlobError, CodecError, ConfigurationError
from bcfl.files import Journal
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.fusion.fused_arrays import save_fused
from bcfl.market.judging.baseline import public_accuracy
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.architectures import ARCHITECTURES, shipped_architecture
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.roles.access import Access, Session
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.description import (
    Description,
    expect_classes,
    fetch_description,
    publish_description,
)
from bcfl.market.roles.history import SubmissionLog, expect_task, read_history
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.run_role import run_role
from bcfl.market.roles.turn import short_name
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.architecture import Architecture
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.terms import (
    Conditions,
    MarketPhase,
    TaskRules,
    least_draw_window_s,
    least_stake,
)
from bcfl.market.statement import statement_of
from bcfl.market.task_file import MarketTask
from bcfl.market.verification_set import VerificationSet

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What an initiator asks for, as files and numbers."""

    name: str
    verification: Path
    rules: TaskRules
    fitness: FitnessRules
    submissions: int
    stake: int | None  #: wei; None: the least that the market allows
    open_s: int  #: seconds, from now, for which models are taken
    window_s: int  #: seconds for each step of a submission
    recommended: str  #: name of a shipped architecture, a JSON file, or empty
    fusion_share: float  #: of the verification set that is public
    measuring_sets: int  #: into which the rest is divided


def open_market(access: Access, bond: int, draw_delay: int, tell: Tell) -> str:
    """Deploy a marketplace, over which nobody has power; its address."""
    with access.chain() as chain, chain.connect(chain.coordinator) as connection:
        market = MarketLedger.deploy(connection, chain.wait_until, bond=bond, draw_delay=draw_delay)
        tell(f"opened the marketplace {market.address}")
        return market.address


def launch(access: Access, request: Request, tell: Tell, *, stay: bool) -> int:
    """Ask for models, and stay to open to each panel what it measures by; the task's number.

    A task that asks for the same and is open already is gone on with.
    """
    with access.open() as session:
        task = launch_task(session, request, tell)
        keep(session, task)
        if stay:
            tell("waiting for models: a panel that is not granted in time costs what a model costs")
            run_role(Initiator(session, task), session.chain, tell)
            keep(session, task)
        return task


def contribute(
    access: Access,
    task: int,
    data: Path,
    architecture: str,
    training: ContributorTraining,
    seed: int | None,
    tell: Tell,
    *,
    anew: bool = False,
) -> MarketPhase:
    """Train a model, submit it, see it through to its outcome, and withdraw what it earned.

    Without a seed the account is one: models that began with the same random weights resemble
    each other as copies do.
    """
    with access.open() as session:
        contributor = Contributor(session)
        description = contributor.description(task)
        own = int(session.account.address[2:10], 16) if seed is None else seed
        asked = _Asked(session, task, data, f"{architecture} {training} {own}")
        if anew or (submission := asked.submission()) is None:
            model = train(description, data, architecture, training, own, tell)
            submission = contributor.submit(task, model, anew=anew)
            asked.remember(submission)
            tell(f"submitted {short_name(submission)} to task {task}")
        else:
            tell(f"{short_name(submission)} was submitted to task {task} before")
        run_role(contributor, session.chain, tell)
        submitted = read_history(session.ledger).submissions[submission]
        assert submitted.outcome is not None
        tell(outcome_of(submitted, expect_task(session.ledger, task).rules.reward))
        return submitted.outcome


def verify(access: Access, tell: Tell, *, task: int | None, leave: bool) -> None:
    """Enter ``task``, or every open one, and judge what one is drawn for, until it is over."""
    with access.open() as session:
        verifier = Verifier(session, None if task is None else (task,))
        if leave:
            for number in range(1, session.ledger.tasks() + 1):
                if task in (None, number) and verifier.leave(number):
                    tell(f"left the pool of task {number}; bond and fees are paid out")
            verifier.withdraw()
            return
        if task is not None and verifier.enter(task):
            tell(
                f"entered the pool of task {task}, with a bond of "
                f"{in_ether(session.ledger.bond(task))}"
            )
        run_role(verifier, session.chain, tell)
        if task is not None and not _is_over(session, task):
            tell("struck off: a report was due and did not come, and the bond is lost")


def collect(access: Access, task: int, out: Path, tell: Tell) -> None:
    """Open and fuse what was bought so far, and take what is left of the deposit if it may."""
    with access.open() as session:
        initiator = Initiator(session, task)
        turn = initiator.turn()
        for line in (*turn.actions, *turn.troubles):
            tell(line)
        keep(session, task)
        tell("opening what was bought, and fusing it")
        fused = initiator.fused()
        for digest, why in initiator.lost.items():
            tell(f"{short_name(digest)} was bought, and is left out: {why}")
        if fused.layers is None:
            tell("no model has been bought yet")
            return
        save_fused(fused, out)
        tell(
            f"{len(fused.models)} models fused into {out}: accuracy {fused.accuracy:.4f} on the "
            "measuring part of the verification set"
        )


def keep(session: Session, task: int, seed: int | None = None) -> None:
    """Leave in the role's folder what ``bcfl audit`` and ``bcfl report`` begin with.

    ``seed`` is that of a simulation's development keys.
    """
    ledger, statement = session.ledger, statement_of(session.ledger.events(), task)
    description = str(statement.get("description", ""))
    told = MarketTask(ledger.chain_id, ledger.address, session.account.address, seed=seed)
    replace(told, description=description, task=task, statement=statement).write(session.folder)


def launch_task(session: Session, request: Request, tell: Tell) -> int:
    """Deposit the price of what is asked for, unless a task asks for just that; its number."""
    samples, labels = load_samples(request.verification)
    classes = int(labels.max(initial=0)) + 1
    expect_classes(classes)
    verification = VerificationSet(samples, labels, classes, request.fusion_share)
    recommended = (
        read_architecture(request.recommended, verification.input_shape, verification.classes)
        if request.recommended
        else None
    )
    tell("measuring what the public samples alone give")
    bar = public_accuracy(verification, request.fitness)
    tell(f"who has no data reaches {bar:.2f} with the public samples; they have to bring more")
    digest = publish_description(
        session.store,
        request.name,
        session.account,
        verification,
        replace(request.fitness, public_accuracy=bar),
        recommended,
        request.measuring_sets,
    )
    if (task := _asking(session, digest)) is not None:
        tell(f"task {task} asks for just this already: going on with it")
        return task
    closes = session.ledger.now() + request.open_s
    drawing = max(request.window_s, least_draw_window_s(session.ledger.draw_delay))
    stake = least_stake(request.rules) if request.stake is None else request.stake
    windows = drawing, request.window_s, request.window_s
    conditions = Conditions(request.submissions, stake, closes, *windows)
    launched = session.ledger.launch(digest, request.rules, conditions)
    tell(
        f"launched task {launched.task}: {in_ether(request.rules.reward)} for each of "
        f"{request.submissions} models, taken until {in_words(conditions.deadline)}"
    )
    return launched.task


def _asking(session: Session, digest: bytes) -> int | None:
    """The open task of one's own that asks for what the description of that digest does."""
    me = session.account.address
    wanted = fetch_description(session.store, digest, me)
    for task, launched in read_history(session.ledger).launched.items():
        if launched.initiator != me or _is_over(session, task):
            continue
        with suppress(BlobError, CodecError, ConfigurationError):
            if wanted.asks_for_the_same(fetch_description(session.store, launched.description, me)):
                return task
    return None


def _is_over(session: Session, task: int) -> bool:
    """Whether nothing will happen to a task any more; one that is yet to come is not over."""
    terms = session.ledger.task(task)
    return terms is not None and terms.is_over(session.ledger.now())


def read_architecture(name: str, input_shape: tuple[int, ...], classes: int) -> Architecture:
    """A shipped architecture by its name, or one of one's own from a JSON file.

    Raises
    ------
    ArchitectureError, ConfigurationError
        There is neither, or it is none, or it does not fit the input.
    """
    if name in ARCHITECTURES:
        return shipped_architecture(name, input_shape, classes)
    try:
        return Architecture.from_mapping(json.loads(Path(name).read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"architecture: expected one of {', '.join(ARCHITECTURES)}, or a JSON file with "
            f"input_shape and layers; found {name!r} ({error})"
        ) from error


def train(
    description: Description,
    data: Path,
    architecture: str,
    training: ContributorTraining,
    seed: int,
    tell: Tell,
) -> TrainedModel:
    """Train what the task recommends, or what ``architecture`` names, on the samples at ``data``.

    Raises
    ------
    ConfigurationError
        There is nothing to train, or nothing to train it on.
    """
    samples, labels = load_samples(data)
    chosen = (
        read_architecture(architecture, description.input_shape, description.classes)
        if architecture
        else description.recommendation()
    )
    if chosen is None:
        raise ConfigurationError(
            "this task recommends no architecture: choose one with --architecture "
            f"({', '.join(ARCHITECTURES)}, or a JSON file)"
        )
    tell(f"training on {len(labels)} samples")
    return train_contributor(chosen, samples, labels, training, seed, description.limits)


class _Asked:
    """What ``contribute`` was asked for, and what it submitted when it was asked the same before.

    Whoever says the same again neither trains nor submits again.
    """

    def __init__(self, session: Session, task: int, data: Path, how: str) -> None:
        said = f"{task} {how} ".encode() + load_bytes(data)
        self._entry = {"market": session.ledger.address, "asked": sha256(said).hexdigest()}
        self._ledger = session.ledger
        self._journal = Journal(session.folder / "asked.jsonl")

    def submission(self) -> bytes | None:
        """The newest that is on the chain."""
        known = [
            entry["submission"] for entry in self._journal if self._entry.items() <= entry.items()
        ]
        digest = bytes.fromhex(known[-1]) if known else b""
        return digest if digest and self._ledger.submission(digest) is not None else None

    def remember(self, submission: bytes) -> None:
        """It is submitted."""
        self._journal.append(self._entry | {"submission": submission.hex()})


def outcome_of(submitted: SubmissionLog, reward: int) -> str:
    """What became of a submission, for its contributor; ``reward`` in wei."""
    match submitted.outcome:
        case MarketPhase.PAID:
            return f"sold, for {in_ether(reward)}"
        case MarketPhase.JUNK:
            return "junk, as most of the panel say: the stake is lost"
        case MarketPhase.VOID:
            missed = submitted.cause.name.lower()
            return f"void: {missed} did not happen in time; --anew submits it once more"
    return "rejected: the panel found it no better than what was asked for; it costs nothing"
