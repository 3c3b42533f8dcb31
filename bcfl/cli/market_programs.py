"""What ``bcfl market …`` does, a function each; ``command`` reads the command line.

Every one of them may be killed at any moment and started again with the same words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bcfl.cli.samples import load_samples
from bcfl.core.errors import ConfigurationError
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.fusion.fused_arrays import save_fused
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
from bcfl.market.roles.history import expect_task, read_history
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.run_role import run_role
from bcfl.market.roles.turn import short_name
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.architecture import Architecture
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.terms import Conditions, MarketPhase, Rules
from bcfl.market.verification_set import VerificationSet

__all__ = ["Request", "collect", "contribute", "launch", "open_market", "verify"]

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What an initiator asks for, as files and numbers."""

    name: str
    verification: Path
    rules: Rules
    fitness: FitnessRules
    submissions: int
    stake: int  #: wei
    open_s: int  #: seconds, from now, for which models are taken
    window_s: int  #: seconds for each step of a submission
    recommended: str  #: name of a shipped architecture, a JSON file, or empty


def open_market(access: Access, bond: int, draw_delay: int, tell: Tell) -> str:
    """Deploy a marketplace, over which nobody has power; its address."""
    with access.chain() as chain, chain.connect(chain.coordinator) as connection:
        market = MarketLedger.deploy(connection, chain.wait_until, bond=bond, draw_delay=draw_delay)
        tell(f"opened the marketplace {market.address}")
        return market.address


def launch(access: Access, request: Request, tell: Tell) -> int:
    """Ask for models, and stay to grant where the task is for members only; the task's number.

    A task of the same description that is open already is gone on with.
    """
    with access.open() as session:
        task = _launched(session, request, tell)
        if request.rules.members_only:
            tell("a task for members only needs its initiator at each submission: waiting")
            run_role(Initiator(session, task), session.chain, tell)
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
        description = fetch_description(
            session.store, expect_task(session.ledger, task).description
        )
        own = int(session.account.address[2:10], 16) if seed is None else seed
        model = _train(description, data, architecture, training, own, tell)
        submission = contributor.submit(task, model, anew=anew)
        tell(f"submitted {short_name(submission)} to task {task}")
        run_role(contributor, session.chain, tell)
        submitted = read_history(session.ledger).submissions[submission]
        assert submitted.outcome is not None
        tell(_outcome(submitted.outcome, submitted.cause))
        return submitted.outcome


def verify(access: Access, tell: Tell, *, task: int | None, leave: bool) -> None:
    """Register, and judge what one is drawn for: until ``task`` is over, or for ever."""
    with access.open() as session:
        verifier = Verifier(session)
        if not session.ledger.account_of(session.account.address).is_registered:
            _expect_shared_store(session, task, tell)
        if verifier.register():
            tell(f"registered as a verifier, with a bond of {session.ledger.bond} wei")
        run_role(
            verifier,
            session.chain,
            tell,
            enough=lambda: task is not None and _is_free(session, task),
        )
        registered = session.ledger.account_of(session.account.address).is_registered
        if registered and leave:
            verifier.leave()
            tell("left; bond and fees are paid out")
            return
        if earned := verifier.withdraw():
            tell(f"withdrew {earned} wei")
        if registered:
            tell("still registered: who is drawn and not there loses the bond; --leave leaves")
        else:
            tell("struck off: a report was due and did not come, and the bond is lost")


def collect(access: Access, task: int, out: Path, tell: Tell) -> None:
    """Open and fuse what was bought so far, and take what is left of the deposit if it may."""
    with access.open() as session:
        initiator = Initiator(session, task)
        turn = initiator.turn()
        for line in (*turn.actions, *turn.troubles):
            tell(line)
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


def _launched(session: Session, request: Request, tell: Tell) -> int:
    samples, labels = load_samples(request.verification)
    classes = int(labels.max(initial=0)) + 1
    expect_classes(classes)
    verification = VerificationSet(samples, labels, classes)
    recommended = (
        read_architecture(request.recommended, verification.input_shape, verification.classes)
        if request.recommended
        else None
    )
    digest = publish_description(
        session.store,
        request.name,
        session.account.public_key,
        verification,
        request.fitness,
        recommended,
    )
    for task, launched in read_history(session.ledger).launched.items():
        mine = (launched.initiator, launched.description) == (session.account.address, digest)
        if mine and not _is_over(session, task):
            tell(f"task {task} asks for just this already: going on with it")
            return task
    closes, windows = session.ledger.now() + request.open_s, (request.window_s,) * 3
    conditions = Conditions(request.submissions, request.stake, closes, *windows)
    launched = session.ledger.launch(digest, request.rules, conditions)
    tell(f"launched task {launched.task}; models are taken until {conditions.deadline}")
    return launched.task


def _expect_shared_store(session: Session, task: int | None, tell: Tell) -> None:
    """A verifier that finds no blob calls every model unopenable: say so before it deposits."""
    for number, launched in read_history(session.ledger).launched.items():
        if number == task:
            fetch_description(session.store, launched.description)
        elif task is not None or _is_over(session, number):
            continue
        elif not session.store.has(launched.description):
            tell(f"this store has no description of task {number}: is it the one that others use?")


def _is_free(session: Session, task: int) -> bool:
    """Whether a task is over, and no panel of another one waits for this verifier."""
    return _is_over(session, task) and not session.ledger.account_of(session.account.address).busy


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


def _train(
    description: Description,
    data: Path,
    architecture: str,
    training: ContributorTraining,
    seed: int,
    tell: Tell,
) -> TrainedModel:
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


def _outcome(outcome: MarketPhase, cause: MarketPhase) -> str:
    if outcome is MarketPhase.VOID:
        return f"void: {cause.name.lower()} did not happen in time; --anew submits it once more"
    return outcome.name.lower()
