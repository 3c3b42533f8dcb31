"""Who sells what is worth nothing is not paid, and who reports what is not so changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bcfl.amounts import in_ether
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.keys.sealing import encrypt_model, seal_share, secret_commitment
from bcfl.market.contract.events import Burnt
from bcfl.market.contract.ledger import AboveCap
from bcfl.market.fusion.fused_arrays import fused_arrays
from bcfl.market.judging.baseline import public_accuracy
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.architectures import shipped_architecture
from bcfl.market.models.build import build_module, export_model
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.examination import Examiner
from bcfl.market.roles.history import read_history
from bcfl.market.roles.opening import address_bytes
from bcfl.market.roles.pieces import put_pieces
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.offer import ModelKeys, Offer
from bcfl.market.spec.report import Reason, Report
from bcfl.market.spec.terms import MarketPhase, TaskRules, submission_cost
from tests.market.conftest import Market, without_data
from tests.market.roles.world import BOND, ETHER, RULES, STAKE, Liar, World


class Praiser(Liar):
    says = Report(1_000_000)


class Detractor(Liar):
    says = Report(0)


@pytest.fixture
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as chain:
        yield chain


def untrained(model: TrainedModel) -> TrainedModel:
    return export_model(build_module(model.architecture, seed=99), model.architecture)


def noisy(model: TrainedModel) -> TrainedModel:
    """Trained, and then spoilt: below MAFR."""
    rng = np.random.default_rng(0)
    weights = {
        key: (array + rng.normal(0, 3 * array.std() + 1e-3, array.shape)).astype(np.float32)
        for key, array in model.weights.items()
    }
    return TrainedModel(model.architecture, weights)


def copied(model: TrainedModel) -> TrainedModel:
    """The hidden units in another order, as a thief would hide a copy."""
    weights = dict(model.weights)
    hidden, output = [key for key in weights if key.endswith(".weight")][-2:]
    order = np.random.default_rng(0).permutation(len(weights[hidden]))
    weights[hidden] = weights[hidden][order]
    weights[hidden.replace("weight", "bias")] = weights[hidden.replace("weight", "bias")][order]
    weights[output] = np.ascontiguousarray(weights[output][:, order])
    return TrainedModel(model.architecture, weights)


def test_who_sells_a_worthless_model_is_not_paid_and_harms_nobody(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    panel = replace(RULES, seats=3, quorum=2)
    kinds = (Verifier,) * 4
    world = World(chain, tmp_path, market.verification, rules=panel, verifiers=kinds, submissions=4)
    honest = market.models[3]
    assert world.see_through(world.offer("honest", honest)).outcome is MarketPhase.PAID
    before = fused_arrays(world.initiator.fused())
    for spoil, reason, outcome in (
        (untrained, Reason.MEASURED, MarketPhase.REJECTED),
        (noisy, Reason.MEASURED, MarketPhase.REJECTED),
        (copied, Reason.DUPLICATE, MarketPhase.JUNK),
    ):
        name = f"seller of the {spoil.__name__}"
        fees = {v.address: world.market.account_of(v.address).credit for v in world.judges()}
        submitted = world.see_through(world.offer(name, spoil(honest)))
        assert submitted.outcome is outcome, name
        assert {report.reason for report in submitted.reports.values()} == {reason}
        assert all(report.fitness <= RULES.mafr for report in submitted.reports.values())
        # its stake alone returns, and not for a copy: what was a reward stays with the initiator
        assert world.received(name) == (STAKE if outcome is MarketPhase.REJECTED else 0)
        assert len(submitted.reports) == 3
        for verifier in submitted.reports:
            assert world.market.account_of(verifier).credit == fees[verifier] + RULES.fee
    after = fused_arrays(world.initiator.fused())
    assert list(after) == list(before)
    assert all(np.array_equal(after[name], array) for name, array in before.items())
    assert world.settle_up() == 0


@pytest.mark.parametrize(
    ("liars", "model", "honest"),
    [
        (Praiser, untrained, MarketPhase.REJECTED),
        (Detractor, lambda model: model, MarketPhase.PAID),
    ],
)
def test_two_liars_on_a_panel_of_five_change_no_outcome(
    chain: EmbeddedChain, market: Market, tmp_path: Path, liars, model, honest: MarketPhase
) -> None:
    kinds = (Verifier, liars, Verifier, liars, Verifier)
    world = World(chain, tmp_path, market.verification, verifiers=kinds)
    submitted = world.see_through(world.offer("contributor", model(market.models[3])))
    assert submitted.outcome is honest
    said = [report.fitness for report in submitted.reports.values()]
    assert said.count(liars.says.fitness) >= 2
    assert len(set(said)) == 2 or honest is MarketPhase.REJECTED  # who differs stands out
    assert all(
        world.market.account_of(verifier).credit == RULES.fee for verifier in submitted.reports
    )
    assert world.settle_up() == 0


class WrongSecret(Contributor):
    """Shares keys that open the model, and commits to others."""

    def _enter(self, task: int, submission: bytes) -> bool:
        self._ledger.submit(task, submission, secret_commitment(bytes(32)), most_wei=ETHER)
        return True


class WrongShare(Contributor):
    """Gives the initiator a part of the key that opens nothing."""

    def _publish(self, task: int, blob: bytes, initiator_key: bytes | None) -> bytes:
        author, nonce = address_bytes(self._account.address), bytes(16)
        keys = self.keys_of(task, nonce)
        sealed = encrypt_model(blob, keys.shared, keys.secret)
        wrong = bytes(32) if initiator_key is None else seal_share(bytes(32), initiator_key)
        pieces = put_pieces(self._store, sealed)
        return self._store.put(Offer(author, nonce, wrong, len(sealed), pieces).encode())


class OtherKeys(Contributor):
    """Gives the panel keys that do not open the model, but fit everything else."""

    def keys_of(self, task: int, nonce: bytes) -> ModelKeys:
        return ModelKeys(bytes(32), bytes([1]) * 32)

    def _publish(self, task: int, blob: bytes, initiator_key: bytes | None) -> bytes:
        author, keys = address_bytes(self._account.address), self.keys_of(task, b"")
        sealed = encrypt_model(blob, keys.secret, keys.shared)
        share = keys.shared if initiator_key is None else seal_share(keys.shared, initiator_key)
        pieces = put_pieces(self._store, sealed)
        return self._store.put(Offer(author, bytes(16), share, len(sealed), pieces).encode())


class NoModel(Contributor):
    """Seals something that is no model."""

    def _publish(self, task: int, blob: bytes, initiator_key: bytes | None) -> bytes:
        return super()._publish(task, b"\x80\x04cos\nsystem\n(S'true'\ntR.", initiator_key)


class NotItsOwn(Contributor):
    """Seals the very bytes that somebody else has published."""

    def _publish(self, task: int, blob: bytes, initiator_key: bytes | None) -> bytes:
        return super()._publish(task, blob[:5] + bytes(20) + blob[25:], initiator_key)


class NoPieces(Contributor):
    """Names pieces that nobody has."""

    def _publish(self, task: int, blob: bytes, initiator_key: bytes | None) -> bytes:
        whole = Offer.decode(self._store.get(super()._publish(task, blob, initiator_key), 10**6))
        lost = Offer(whole.contributor, whole.nonce, whole.share, whole.size_bytes, (bytes(32),))
        return self._store.put(lost.encode())


@pytest.mark.parametrize(
    ("cheat", "reason", "members_only"),
    [
        (WrongSecret, Reason.KEY_MISMATCH, False),
        (WrongShare, Reason.KEY_MISMATCH, False),
        (WrongShare, Reason.KEY_MISMATCH, True),
        (OtherKeys, Reason.UNOPENABLE, False),
        (NoModel, Reason.MALFORMED, True),
        (NotItsOwn, Reason.MALFORMED, False),
        (NoPieces, Reason.UNOPENABLE, False),
    ],
)
def test_who_sells_what_payment_would_not_open_is_found_out_before(
    chain: EmbeddedChain,
    market: Market,
    tmp_path: Path,
    cheat: type[Contributor],
    reason: Reason,
    members_only: bool,
) -> None:
    rules = TaskRules(10**15, 10**13, 700_000, 2, 2, 0, members_only)
    world = World(chain, tmp_path, market.verification, rules=rules, verifiers=(Verifier,) * 2)
    submitted = world.see_through(world.offer("cheat", market.models[3], cheat))
    assert submitted.outcome is MarketPhase.JUNK
    assert world.received("cheat") == 0
    assert {report.reason for report in submitted.reports.values()} == {reason}
    assert world.settle_up() == 0


def test_who_has_no_data_is_not_paid_for_training_on_what_is_public(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    """Neither as the first nor once an honest model carries the whole."""
    verification = replace(market.verification, fusion_share=0.1)
    bar = public_accuracy(verification, FitnessRules())
    architecture = shipped_architecture("mlp", verification.input_shape, 10)
    half = slice(None, None, 2)
    data = market.images.train_images[half], market.images.train_labels[half]
    honest = train_contributor(architecture, *data, ContributorTraining(epochs=20), seed=0)
    fitness = FitnessRules(least_gain_ppm=-10_000, public_accuracy=bar)
    two = (Verifier,) * 2
    rules = TaskRules(10**15, 10**13, 600_000, 2, 2, 0)
    world = World(
        chain, tmp_path, verification, rules=rules, verifiers=two, submissions=5, fitness=fitness
    )
    outcomes = [
        world.see_through(world.offer(name, model)).outcome
        for name, model in (
            ("nothing", without_data(verification, 1000)),
            ("honest", honest),
            ("nothing again", without_data(verification, 1001)),
        )
    ]
    assert outcomes == [MarketPhase.REJECTED, MarketPhase.PAID, MarketPhase.REJECTED]
    assert bar > 0.6  # above MAFR it would have been, but for the bar
    assert world.settle_up() == 0


def test_initiator_s_verifiers_see_a_model_for_no_less_than_its_price(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    """They look, and vanish: what the initiator saves of the reward, its verifiers lose."""
    rules = TaskRules(10**17, 10**13, 700_000, 2, 2, 0)
    world = World(
        chain, tmp_path, market.verification, rules=rules, verifiers=(Verifier,) * 2, stake=10**17
    )
    submission = world.offer("contributor", market.models[3])
    world.see_through(submission, until=MarketPhase.SEAL)
    seen = Examiner(world.store, world.accounts["verifier 0"])
    history = read_history(world.market)
    assert seen.examine(history, history.submissions[submission], patient=False).accuracy > 0.7
    submitted = world.see_through(submission, absent=world.verifiers)
    assert submitted.outcome is MarketPhase.VOID
    assert world.received("contributor") == 10**17  # its stake
    burnt = sum(event.amount for event in world.market.events() if isinstance(event, Burnt))
    assert burnt >= world.market.bond(world.task) >= 3 * rules.reward
    world.verifiers = {}
    assert world.settle_up() == 0


def test_a_panel_that_says_ungranted_takes_no_stake_and_is_not_the_initiator_s_gain(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    class Accuser(Liar):
        says = Report(0, Reason.UNGRANTED)

    world = World(chain, tmp_path, market.verification, verifiers=(Accuser,) * 5)
    submitted = world.see_through(world.offer("contributor", market.models[3]))
    assert (submitted.outcome, submitted.cause) == (MarketPhase.VOID, MarketPhase.GRANT)
    assert world.received("contributor") == STAKE
    assert world.settle_up() == 0
    # the reward is burnt: accusing is nobody's gain
    assert world.received("initiator") == 2 * submission_cost(RULES)


def test_a_verifier_enters_no_pool_whose_terms_or_bond_it_does_not_accept(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    world = World(chain, tmp_path, market.verification, verifiers=())
    session = world.somebody("modest")
    for kept, said in (
        (replace(session, most_bond_wei=BOND - 1), "a bond of 0.01 ether; at most"),
        (replace(session, most_bond_wei=0), "--max-bond"),
    ):
        with pytest.raises(AboveCap, match=said):
            Verifier(kept).enter(world.task)
        turn = Verifier(kept, None).turn()
        assert (turn.actions, len(turn.troubles)) == ((), 1)
    modest = replace(session, most_bond_wei=BOND)
    assert Verifier(modest, None).turn().actions == (f"entered the pool of task {world.task}",)
    # all bonds together have to stay below the cap
    other = world.launch()
    with pytest.raises(AboveCap, match="at most 0 ether are allowed"):
        Verifier(modest).enter(other)
    with chain.connect() as connection:
        assert connection.balance(session.account.address) > ETHER - BOND - 10**15


def test_a_contributor_stakes_no_more_than_it_was_allowed(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    """Whatever the initiator demands; and before anything is trained or published."""
    world = World(chain, tmp_path, market.verification, stake=ETHER // 2)
    session = replace(world.somebody("careful"), most_stake_wei=STAKE)
    careful = Contributor(session)
    blobs = len(list((tmp_path / "blobs").rglob("*")))
    with pytest.raises(AboveCap, match="--max-stake"):
        careful.description(world.task)
    with pytest.raises(AboveCap, match=f"a stake of 0.5 ether; at most {in_ether(STAKE)}"):
        careful.submit(world.task, market.models[3])
    assert len(list((tmp_path / "blobs").rglob("*"))) == blobs
    with chain.connect() as connection:
        assert connection.balance(session.account.address) == ETHER
