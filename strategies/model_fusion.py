"""The model marketplace as a Flower strategy: nodes sell models, and judge those of others.

System B of arXiv 1807.02515 (Mendis et al.), contract events 1 and 2. The server is the
initiator: it deposits, and fuses what the contract has paid for. Nodes are contributors, one a
round, and verifiers of one another; they act by the same code as ``bcfl market``'s programs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from logging import INFO, WARNING
from pathlib import Path
from typing import Literal

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from bcfl.chain.chain import Chain
from bcfl.chain.connection import Connection
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import BlobError, CodecError, ConfigurationError
from bcfl.flower.handlers import to_array_record
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.federation.nodes import Federation, MarketOrder, read_replies
from bcfl.market.federation.record import MarketRecord, describe_round
from bcfl.market.federation.round import MarketRound, named_submission
from bcfl.market.fusion.fused_arrays import fused_arrays
from bcfl.market.fusion.fused_model import FusedModel
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.roles.access import open_store
from bcfl.market.roles.description import publish_description
from bcfl.market.roles.history import Story
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.opening import fetch_offer
from bcfl.market.spec.architecture import Architecture
from bcfl.market.spec.report import to_ppm
from bcfl.market.spec.terms import Conditions, Rules
from bcfl.market.verification_set import VerificationSet

__all__ = ["ModelFusion"]


class ModelFusion(Strategy):
    """Buy one model from each node in turn; those accepted become one model.

    Every client app is one of ``bcfl.market.federation.client_app.market_app``. Without
    further arguments the chain is embedded in this process and everything is kept under
    ``bcfl-runs/``.

    Parameters
    ----------
    verification : VerificationSet
        Published with the task; what models are fused and measured on.
    mafr : float
        Minimum acceptable fitness rate, in [0, 1); a reported fitness has to exceed it.
    fusion : {"I", "II"}
        Strategy I trains A and B anew for each model; II keeps what was fused before.
    least_gain_ppm : int
        Accuracy that a model has to bring, parts per million; negative forgives the noise of a
        small verification set.
    fitness : FitnessRules, optional
        How verifiers judge, instead of the two before.
    recommended : Architecture, optional
    reward_wei, fee_wei, stake_wei, bond_wei : int
        For a model, for a report; what a contributor, a verifier risks by vanishing.
    seats, quorum, redraws : int
        Verifiers on a panel; reports that make a verdict; how often vanished ones are replaced.
    members_only : bool
        Bought models are the initiator's alone.
    open_s, window_s : int
        Seconds, chain time: for which models are taken; for each step of a submission.
    allowance_wei : int
        Ether that the server gives each node, for its gas, bond and stakes.
    chain : Chain, optional
        Where the marketplace is opened. It is started by ``start`` and stopped after.
    store : str, optional
        Of the blobs: a folder, or the URL of a Kubo node. Nodes elsewhere name their own, see
        ``client_app.STORE``.
    run_dir : path, optional
    min_available_nodes : int
        To wait for.
    seed : int
        Of development keys in simulations.
    on_phase : callable, optional
        Told (round, phase) when a phase begins.
    on_round : callable, optional
        Given the ``MarketRecord`` of every round.

    Raises
    ------
    ConfigurationError
        An argument out of range.
    """

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
        stake_wei: int = 10**15,
        bond_wei: int = 10**15,
        seats: int = 5,
        quorum: int = 3,
        redraws: int = 2,
        members_only: bool = False,
        open_s: int = 86_400,
        window_s: int = 600,
        allowance_wei: int = 10**18,
        chain: Chain | None = None,
        store: str | None = None,
        run_dir: Path | str | None = None,
        min_available_nodes: int = 2,
        seed: int = 0,
        on_phase: Callable[[int, str], None] | None = None,
        on_round: Callable[[MarketRecord], None] | None = None,
    ) -> None:
        if not 0 <= mafr < 1:
            raise ConfigurationError(f"mafr lies in [0, 1); found {mafr}")
        if allowance_wei < 0:
            raise ConfigurationError(f"allowance_wei is at least 0; found {allowance_wei}")
        self.rules = Rules(reward_wei, fee_wei, to_ppm(mafr), seats, quorum, redraws, members_only)
        self.fitness = fitness or FitnessRules(
            fusion=FusionSettings(strategy=fusion), least_gain_ppm=least_gain_ppm
        )
        self.folder = Path(run_dir or Path("bcfl-runs") / time.strftime("%Y-%m-%d_%H-%M-%S"))
        self.chain = chain or EmbeddedChain(self.folder / "chain.jsonl", seed=seed)
        self._store = store or str((self.folder / "blobs").absolute())
        self._verification = verification
        self._recommended = recommended
        self._stake_wei, self._bond_wei = stake_wei, bond_wei
        self._open_s, self._window_s = open_s, window_s
        self._allowance_wei = allowance_wei
        self._least = max(min_available_nodes, 2)
        self._seed = seed
        self._on_phase = on_phase or (lambda round_, phase: None)
        self._on_round = on_round or (lambda record: None)
        self.fused = FusedModel()  #: what has been bought so far, as one model

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
        with ExitStack() as stack:
            stack.enter_context(self.chain)
            connection = stack.enter_context(self.chain.connect(self.chain.coordinator))
            self._open(grid, connection, num_rounds, timeout)
            result = super().start(
                grid=grid,
                initial_arrays=ArrayRecord(),
                num_rounds=min(num_rounds, len(self._nodes)),
                timeout=timeout,
                evaluate_fn=self._when_fused(evaluate_fn),
            )
            self._settle_up()
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the next node for a model."""
        self._began = time.monotonic()
        self._on_phase(server_round, "train")
        address = self._nodes[server_round - 1]
        return [self._federation.contribute(address, self._initiator.task, self._order)]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Draw, verify, report, pay; fuse what was paid for."""
        contributor, address = server_round - 1, self._nodes[server_round - 1]
        seconds = {"train": time.monotonic() - self._began}
        node = self._federation.node_of(address)
        read, failures = read_replies(replies, [node])
        submission, why = b"", failures.get(node, "")
        if not why:
            submission, why = named_submission(
                read[node], self._ledger, address, self._initiator.task
            )
        if why:
            log(WARNING, "round %s: no model: %s", server_round, why)
            models = len(self.fused.models)
            self._on_round(MarketRecord(server_round, server_round, contributor, "", why, models))
            return None, None
        round_ = MarketRound(
            self.chain,
            self._ledger,
            self._initiator,
            self._federation,
            self._order,
            lambda phase: self._on_phase(server_round, phase),
            seconds,
        )
        story = round_.play(submission)
        self._on_phase(server_round, "fuse")
        self.fused = self._initiator.fused()
        for digest, reason in self._initiator.lost.items():
            log(WARNING, "the model %s was bought, and is left out: %s", digest.hex(), reason)
        self._on_round(
            describe_round(
                server_round,
                story,
                self._ledger.events(),
                lambda transaction: self._connection.receipt(transaction).gas,
                self._nodes,
                models=len(self.fused.models),
                size_bytes=self._size(story),
                seconds=seconds,
            )
        )
        if self.fused.layers is None:
            return None, None
        metrics = MetricRecord({"models": len(self.fused.models), "fitness": self.fused.accuracy})
        return to_array_record(fused_arrays(self.fused)), metrics

    def _size(self, story: Story) -> int:
        try:
            return fetch_offer(self._blobs, story).size_bytes
        except (BlobError, CodecError):
            return 0  # its verifiers have reported it

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nobody: the verifiers have measured, and ``start``'s ``evaluate_fn`` does."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nobody was asked."""

    def _open(self, grid: Grid, connection: Connection, num_rounds: int, timeout: float) -> None:
        """Contract event 1: launch, with the deposit; and whoever is there becomes a verifier."""
        self._connection = connection
        self._federation = Federation(grid, timeout)
        self._ledger = MarketLedger.deploy(connection, self.chain.wait_until, bond=self._bond_wei)
        self._order = MarketOrder(
            self.chain.url,
            connection.chain_id,
            self._ledger.address,
            self._seed,
            self._store,
            str((self.folder / "roles").absolute()),
        )
        self._nodes = self._federation.meet(self._least, self._order)
        if len(self._nodes) <= self.rules.seats:
            raise ConfigurationError(
                f"a panel of {self.rules.seats}, beside the contributor, needs "
                f"{self.rules.seats + 1} nodes; found {len(self._nodes)}: lower seats and quorum"
            )
        for address in self._nodes if self._allowance_wei else []:
            self.chain.fund(address, self._allowance_wei)
        self._federation.order(self._nodes, self._order.content("register"))
        for address, reason in self._federation.failures.items():
            log(WARNING, "%s did not register as a verifier: %s", address, reason)
        self._blobs = open_store(self._store)
        account = self.chain.coordinator
        description = publish_description(
            self._blobs,
            "bcfl run",
            account.public_key,
            self._verification,
            self.fitness,
            self._recommended,
        )
        window = self._window_s
        conditions = Conditions(
            min(num_rounds, len(self._nodes)),
            self._stake_wei,
            self._ledger.now() + self._open_s,
            window,
            window,
            window,
        )
        task = self._ledger.launch(description, self.rules, conditions).task
        self._initiator = Initiator(self._ledger, self._blobs, account, task)

    def _settle_up(self) -> None:
        """Give everybody what is theirs: verifiers leave, what is left returns to the initiator."""
        while not (turn := self._initiator.turn()).finished:
            if turn.troubles or self._is_long(turn.wake):
                log(
                    WARNING,
                    "what is left of the deposit can be collected once task %s of the market %s "
                    "is closed (`bcfl market collect`) %s",
                    self._initiator.task,
                    self._ledger.address,
                    "; ".join(turn.troubles),
                )
                break
            if not turn.deeds and turn.wake is not None:
                self.chain.wait_until(turn.wake)
        self._federation.order(self._nodes, self._order.content("turn"))
        self._federation.order(self._nodes, self._order.content("leave"))
        for address, reason in self._federation.failures.items():
            log(WARNING, "%s did not leave, its money waits on the chain: %s", address, reason)
        left = self._connection.balance(self._ledger.address)
        log(INFO, "left on the contract: %s wei", left)

    def _is_long(self, wake: int | None) -> bool:
        # the embedded chain's time costs nothing; on another, a run need not wait for a day
        if wake is None or isinstance(self.chain, EmbeddedChain):
            return False
        return wake - self._ledger.now() > 2 * self._window_s

    def _when_fused(
        self, evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None
    ) -> Callable[[int, ArrayRecord], MetricRecord | None] | None:
        if evaluate_fn is None:
            return None
        return lambda round_, arrays: evaluate_fn(round_, arrays) if len(arrays) else None
