"""Whole rounds in which members propose: ``rule=coalition`` and ``rule=referee``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message

from bcfl.audit.audit import Audit, audit_run
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.member.mod import PeerConsensusMod, peer_consensus_mod
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.spec.domain import Ballot, SignedProposal
from bcfl.consensus.spec.referee import draw
from bcfl.core.errors import ConfigurationError, NobodyLeft, RoundVoid
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy
from tests.audit.runs import play

DIRECT = {"transactions": "direct", "allowance_wei": 10**18}
POINTS, LABELS = toy.points(99)
SAMPLES = {"x": POINTS, "y": LABELS}


def reference_loss(arrays: ArrayRecord, samples: Mapping[str, np.ndarray]) -> float:
    """What an app's author writes for ``rule=referee``."""
    p = toy.probabilities(arrays.to_numpy_ndarrays(), samples["x"])
    return float(1 - p[np.arange(len(p)), samples["y"]].mean())


def options(rule: str) -> dict[str, Any]:
    return {"rule": rule} | ({"reference": SAMPLES} if rule == "referee" else {})


def app_of(mod: PeerConsensusMod | None = None) -> Any:
    return toy.client_app([mod or PeerConsensusMod(reference=reference_loss)])


def played(folder: Path, rule: str, **more: Any) -> Audit:
    """A run that holds, audited."""
    audit = audit_run(play(folder, app=app_of(), **options(rule), **more))
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert audit.recomputed == {r.chain_round for r in audit.rounds if r.closed}
    return audit


@pytest.mark.parametrize(
    ("rule", "more"),
    [("coalition", {}), ("referee", {**DIRECT, "ballots": "sealed"})],
    ids=["coalition", "referee, sealed and direct"],
)
def test_a_run_is_played_and_every_model_recomputed(
    rule: str, more: dict[str, Any], tmp_path: Path
) -> None:
    audit = played(tmp_path / "run", rule, rounds=2 - bool(more), clients=3, **more)
    for round_ in audit.rounds:
        assert len(round_.proposals) == len(round_.ballots) == len(round_.commitments) == 3
        assert round_.winners
        first = Ballot.decode(round_.chain_round, round_.ballots[0].entries).rated
        assert first == (0b110 if rule == "coalition" else 0b111)
        if rule == "coalition":
            assert all(event.members.bit_count() >= 2 for event in round_.proposals.values())
    assert not audit.notes
    entries = map(json.loads, (tmp_path / "run" / "rounds.jsonl").read_text().splitlines())
    record = next(entry for entry in entries if entry["kind"] == "round")
    assert {"consider", "propose", "review", "ballot"} <= record["seconds"].keys()
    assert record["gas"]["propose"] > 0
    assert {*map(str, record["chosen"])} <= record["proposals"].keys()


def test_a_referee_s_members_agree_and_a_liar_moves_nothing(tmp_path: Path) -> None:
    class Liar(PeerConsensusMod):
        def choose(self, members: frozenset[int], context: Context) -> frozenset[int]:
            return frozenset({int(context.node_config["partition-id"])})

        def rate(self, qualities: dict[int, float], context: Context) -> dict[int, float]:
            return {member: 0.0 if member == 0 else -2.0 for member in qualities}

    seeds: list[int] = []

    def vary(samples: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        seeds.append(seed)
        some = np.random.default_rng(seed).permutation(len(samples["y"]))[:50]
        return {name: array[some] for name, array in samples.items()}

    honest = PeerConsensusMod(reference=reference_loss, vary=vary)
    liar = Liar(reference=reference_loss, vary=vary)

    def app(message: Message, context: Context) -> Message:
        mod = liar if context.node_config["partition-id"] == 0 else honest
        return toy.client_app([mod])(message, context)

    grid = InProcessGrid(app, 4)
    audit = audit_run(play(tmp_path / "run", grid=grid, rounds=1, **options("referee")))
    assert audit.holds
    (round_,) = audit.rounds
    sets = {member: event.members for member, event in round_.proposals.items()}
    assert sets[0] == 0b0001
    assert sets[1] == sets[2] == sets[3]
    assert round_.outcome is not None
    assert round_.outcome.chosen == 0b0010  # type: ignore[union-attr]
    digests = {member: event.digest for member, event in round_.commitments.items()}
    assert seeds == [draw(digests)] * 4 * 2


def test_a_run_broken_off_between_proposals_and_ballots_goes_on(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(round_: int, phase: str) -> None:
        if (round_, phase) == (1, "review"):
            raise Killed

    folder, grid = tmp_path / "run", InProcessGrid(app_of(), 3)
    with pytest.raises(Killed):
        PeerConsensus(gamma=0.5, run_dir=folder, on_phase=kill, **options("referee")).start(
            grid, toy.initial_arrays(), 2
        )
    PeerConsensus(run_dir=folder, resume=True).start(grid, toy.initial_arrays(), 2)
    audit = audit_run(folder)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert len(audit.rounds) == 2
    assert audit.rounds[0].proposals.keys() == {0, 1, 2}


def test_who_proposes_nothing_votes_all_the_same(tmp_path: Path) -> None:
    class Silent(InProcessGrid):
        def deliver(self, message: Message, context: Context) -> Message | None:
            reply = super().deliver(message, context)
            records = reply.content.config_records.values() if reply else ()
            proposed = any(record.get("kind") == "proposed" for record in records)
            return None if proposed and context.node_config["partition-id"] == 1 else reply

    audit = played(tmp_path / "run", "coalition", rounds=1, grid=Silent(app_of(), 4))
    (round_,) = audit.rounds
    assert round_.proposals.keys() == {0, 2, 3}
    assert round_.ballots.keys() == {0, 1, 2, 3}


def test_a_proposal_that_the_server_kept_back_is_found_by_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Ledger.propose

    def without_the_first(self: Ledger, proposals: Sequence[SignedProposal]) -> Any:
        return relay(self, [one for one in proposals if one.member != 0] or proposals[:0])

    monkeypatch.setattr(Ledger, "propose", without_the_first)
    folder = play(tmp_path / "run", app=app_of(), rounds=1, **options("coalition"))
    words = [finding.words() for finding in audit_run(folder).findings]
    assert any("member 0's signed proposal" in each for each in words), words


def test_without_a_function_for_the_reference_set_the_reason_says_what_to_do(
    tmp_path: Path,
) -> None:
    strategy = PeerConsensus(run_dir=tmp_path, max_attempts=1, **options("referee"))
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 3)
    with pytest.raises(NobodyLeft, match=r"PeerConsensusMod\(reference=…\).*rule=coalition"):
        strategy.start(grid, toy.initial_arrays(), 1)


def test_members_believe_no_other_reference_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = Coordinator._enter_round

    def tampering(self: Coordinator) -> None:
        self.reference = self.reference[:-1] + b"?"
        enter(self)

    monkeypatch.setattr(Coordinator, "_enter_round", tampering)
    strategy = PeerConsensus(run_dir=tmp_path, max_attempts=1, **options("referee"))
    with pytest.raises(RoundVoid, match=r"expected the reference set .*, as the rules say"):
        strategy.start(InProcessGrid(app_of(), 3), toy.initial_arrays(), 1)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({}, "arrays of as many samples each; found none"),
        ({"x": POINTS, "y": LABELS[:-1]}, "as many samples each; found {'x': 60, 'y': 59}"),
        ({"x": np.array(3.0)}, "as many samples each"),
        ({"x": np.array(["a"])}, "reference: "),
    ],
)
def test_what_is_no_reference_set_is_refused(samples: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PeerConsensus(rule="referee", reference=samples)


def test_a_referee_without_samples_is_refused_before_anything_begins() -> None:
    with pytest.raises(ConfigurationError, match=r"PeerConsensus\(reference=…\) takes the samples"):
        PeerConsensus(rule="referee")
    known = PeerConsensus(rule="referee", reference=SAMPLES).rules
    assert replace(known, gamma=0.2).reference == known.reference
