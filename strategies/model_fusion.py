"""The model marketplace as a Flower strategy: nodes sell models, and judge those of others.

System B of arXiv 1807.02515 (Mendis et al.), contract events 1 and 2. The server is the
initiator: it deposits, and fuses what the contract has paid for. Nodes are contributors, one a
round, and verifiers of one another; they act by the same code as ``bcfl market``'s programs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from logging import INFO, WARNING
from pathlib import Path
from typing import Literal

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from bcfl.chain.chain import Chain
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import ProtocolError, expect
from bcfl.flower.handlers import to_array_record
from bcfl.market.federation.marketplace import Marketplace
from bcfl.market.federation.nodes import Federation
from bcfl.market.federation.record import MarketRecord, describe_round
from bcfl.market.fusion.fused_arrays import fused_arrays
from bcfl.market.fusion.fused_model import FusedModel
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.roles.description import publish_description
from bcfl.market.spec.architecture import Architecture
from bcfl.market.spec.report import to_ppm
from bcfl.market.spec.terms import Conditions, TaskRules, least_draw_window_s
from bcfl.market.verification_set import VerificationSet


class ModelFusion(Strategy):
    """Buy one model from each node in turn; those accepted become one model.

    Every client app is one of ``bcfl.market_app``. Without further arguments the chain is
    embedded in this process and everything is kept under ``bcfl-runs/``.

    Parameters
    ----------
    verification : VerificationSet
        What models are fused on, which is published, and measured on, which is not.
    mafr : float
        Minimum acceptable fitness rate, in [0, 1); a reported fitness has to exceed it.
    fusion : {"I", "II"}
        Strategy I trains A and B anew for each model; II keeps what was fused before.
    least_gain_ppm : int
        Accuracy that a model has to bring, parts per million; negative forgives the noise of a
        small verification set.
    fitness : FitnessRules, optional
        How verifiers judge, instead of the two before.
    reward_wei, fee_wei, stake_wei, bond_wei : int
        For a model, for a report; what a contributor risks, no less than ``least_stake``; what a
        verifier deposits at least, see ``bcfl.market.spec.terms.bond``.
    seats, quorum, redraws : int
        Verifiers on a panel; reports that make a verdict; how often vanished ones are replaced.
    members_only : bool
        Bought models are the initiator's alone.
    open_s, window_s : int
        Seconds, chain time: for which models are taken; for each step of a submission, the
        draw a little longer where the market needs it.
    allowance_wei : int
        Ether that the server gives each node, for its gas, bond and stakes.
    chain : Chain, optional
        Where the marketplace is. It is started by ``start`` and stopped after.
    market : str, optional
        Its address; left out, one is opened. Nodes whose owners name a contract need one.
    store : str, optional
        Of the blobs: a folder, or the URL of a Kubo node. Nodes elsewhere name their own, see
        ``client_app.STORE``.
    min_available_nodes : int
        To wait for.
    seed : int
        Of development keys in simulations.
    resume : bool
        Go on with the task in ``run_dir``: what the chain says is where it stands. Submissions
        that are there are seen through, nodes that have not submitted are asked, and rounds
        that are over are told of again.
    on_phase : callable, optional
        Told (round, phase) when a phase begins.
    on_round : callable, optional
        Given the ``MarketRecord`` of every round.

    Raises
    ------
    ConfigurationError
        An argument out of range.
    """

    _submitted: bytes | None = None  # by the round's contributor, in a task that goes on

    def __init__(
        self,
        *,
        verification: VerificationSet,
        mafr: float = 0.5,
        fusion: Literal["I", "II"] = "II",
        least_gain_ppm: int = -20_000,
        fitness: FitnessRules | None = None,
        recommended: Architecture | None = None,
        reward_wei: int = 10**16,
        fee_wei: int = 10**14,
        stake_wei: int = 5 * 10**15,
        bond_wei: int = 10**15,
        seats: int = 5,
        quorum: int = 3,
        redraws: int = 2,
        members_only: bool = False,
        open_s: int = 86_400,
        window_s: int = 600,
        allowance_wei: int = 10**18,
        chain: Chain | None = None,
        market: str | None = None,
        store: str | None = None,
        run_dir: Path | str | None = None,
        min_available_nodes: int = 2,
        seed: int = 0,
        resume: bool = False,
        on_phase: Callable[[int, str], None] | None = None,
        on_round: Callable[[MarketRecord], None] | None = None,
    ) -> None:
        expect(0 <= mafr < 1, "mafr", "in [0, 1)", mafr)
        expect(allowance_wei >= 0, "allowance_wei", "at least 0", allowance_wei)
        self.rules = TaskRules(
            reward_wei, fee_wei, to_ppm(mafr), seats, quorum, redraws, members_only
        )
        self.fitness = fitness or FitnessRules(
            fusion=FusionSettings(strategy=fusion), least_gain_ppm=least_gain_ppm
        )
        self.folder = Path(run_dir or Path("bcfl-runs") / time.strftime("%Y-%m-%d_%H-%M-%S"))
        self.chain = chain or EmbeddedChain(self.folder / "chain.jsonl", seed=seed)
        self.market: Marketplace  #: once ``start`` has opened it
        self._address = market
        self.fused = FusedModel()  #: what has been bought so far, as one model
        self._verification, self._recommended = verification, recommended
        self._stake_wei, self._bond_wei, self._allowance_wei = stake_wei, bond_wei, allowance_wei
        self._open_s, self._window_s = open_s, window_s
        self._store = store or str((self.folder / "blobs").absolute())
        self._least = max(min_available_nodes, 2)
        self._seed, self._resume = seed, resume
        self._on_phase = on_phase or (lambda round_, phase: None)
        self._on_round = on_round or (lambda record: None)

    def summary(self) -> None:
        """Log the rules."""
        log(INFO, "\t├──> fusion: strategy %s", self.fitness.fusion.strategy)
        for name in ("mafr", "reward", "fee", "seats", "quorum", "redraws", "members_only"):
            log(INFO, "\t├──> %s: %s", name, getattr(self.rules, name))
        log(INFO, "\t└──> kept in %s", self.folder)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Open a market, buy models for ``num_rounds`` rounds or from every node, settle up.

        Parameters and return value are Flower's; ``result.arrays`` is the fused model, see
        ``bcfl.market.fusion.fused_arrays``, and so is what ``evaluate_fn`` is given. There is no
        model to begin with: ``initial_arrays`` and the configurations are not used.

        Raises
        ------
        ConfigurationError, LedgerError
            The market cannot be opened.
        NobodyLeft
            Too few nodes for a panel.
        """
        with self.chain, self.chain.connect(self.chain.coordinator) as connection:
            self.market = Marketplace(
                self.chain,
                connection,
                Federation(grid, timeout),
                bond_wei=self._bond_wei,
                market=self._address,
                store=self._store,
                folder=self.folder,
                seed=self._seed,
                resume=self._resume,
            )
            self.market.gather(self._least, self.rules.seats, self._allowance_wei)
            rounds = min(num_rounds, len(self.market.nodes))
            if not self.market.go_on():
                self._launch(rounds)
            result = super().start(
                grid=grid,
                initial_arrays=ArrayRecord(),
                num_rounds=rounds,
                timeout=timeout,
                evaluate_fn=evaluate_fn and partial(_evaluate_fused, evaluate_fn),
            )
            self.market.settle_up(patience_s=2 * self._window_s)
        return result

    def _launch(self, submissions: int) -> None:
        """Contract event 1: the task, with its description and its deposit."""
        description = publish_description(
            self.market.store,
            "bcfl run",
            self.chain.coordinator,
            self._verification,
            self.fitness,
            self._recommended,
        )
        closes = self.market.ledger.now() + self._open_s
        drawing = max(self._window_s, least_draw_window_s(self.market.ledger.draw_delay))
        windows = drawing, self._window_s, self._window_s
        conditions = Conditions(submissions, self._stake_wei, closes, *windows)
        self.market.launch(description, self.rules, conditions)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Contract event 1: ask the round's contributor to train, publish and submit a model."""
        self._began = time.monotonic()
        self._on_phase(server_round, "train")
        market, turn = self.market, server_round - 1
        self._submitted = market.submitted_before(market.nodes[turn])
        if self._submitted is not None or market.had_turn(turn):
            return []
        return [market.ask(market.nodes[turn])]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Contract event 2: a panel reports, the contract pays; then, fuse what was bought."""
        market, contributor = self.market, server_round - 1
        seconds = {"train": time.monotonic() - self._began}
        tell = partial(self._on_phase, server_round)
        try:
            submission = self._submitted or market.submission(market.nodes[contributor], replies)
        except ProtocolError as error:
            log(WARNING, "round %s: no model: %s", server_round, error)
            self._admit(contributor)  # it may have left to submit
            had = len(self.fused.models)
            record = MarketRecord(server_round, server_round, contributor, "", str(error), had)
            self._on_round(record)
            return None, None
        # contract event 2: draw, open to the panel, report, pay
        submitted = market.see_through(submission, tell, seconds)
        self._admit(contributor)
        # after payment: the initiator opens what it has bought, and makes it one model
        tell("fuse")
        self.fused = market.initiator.fused(submission)
        for digest, reason in market.initiator.lost.items():
            log(WARNING, "the model %s was bought, and is left out: %s", digest.hex(), reason)
        had = len(self.fused.models)
        self._on_round(describe_round(server_round, market, submitted, models=had, seconds=seconds))
        if self.fused.layers is None:
            return None, None
        metrics = MetricRecord({"models": had, "fitness": self.fused.accuracy})
        return to_array_record(fused_arrays(self.fused)), metrics

    def _admit(self, contributor: int) -> None:
        if not self.market.terms.is_closed(self.market.ledger.now()):
            self.market.admit([self.market.nodes[contributor]])

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nobody: the verifiers have measured, and ``start``'s ``evaluate_fn`` does."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nobody was asked."""


def _evaluate_fused(
    evaluate: Callable[[int, ArrayRecord], MetricRecord | None],
    server_round: int,
    arrays: ArrayRecord,
) -> MetricRecord | None:
    return evaluate(server_round, arrays) if len(arrays) else None
