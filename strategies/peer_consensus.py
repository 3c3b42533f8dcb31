"""Peer consensus as a Flower strategy: the contract, not the server, picks the updates.

System A of CN110197285A / US11954592B2 (Tsinghua), *Secure collaborative deep learning
method and device based on blockchain*, claims 1 to 5; S1 to S5 are PROTOCOL's steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from logging import INFO
from pathlib import Path
from typing import Any, Literal

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result, Strategy

from bcfl.chain.chain import Chain
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.inner_strategy import count_from, hand_over_winners, train_metrics
from bcfl.consensus.server.members import PUBLIC_KEYS, Admission, Admit, Members
from bcfl.consensus.server.repeated_round import RepeatedRound
from bcfl.consensus.server.round import Configs
from bcfl.consensus.server.round_log import past_records
from bcfl.consensus.server.task import Task, begin_task, resume_task
from bcfl.consensus.spec.aggregation import Combine
from bcfl.consensus.spec.clipping import Clip
from bcfl.consensus.spec.record import RoundRecord
from bcfl.consensus.spec.rules import Ballots, Rules
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import ConfigurationError
from bcfl.core.model import IntegerArrays, encode_model
from bcfl.flower.handlers import to_array_record, to_arrays
from bcfl.keys.public_keys import PublicKeys
from bcfl.store.blob_store import BlobStore
from bcfl.store.local import LocalStore

__all__ = ["PeerConsensus"]


class PeerConsensus(Strategy):
    """Commit, rate, and let the contract select; aggregate what it selected.

    Every client app needs ``mods=[peer_consensus_mod]``. Without further arguments the chain
    is embedded in this process and everything is kept under ``bcfl-runs/``.

    Parameters
    ----------
    gamma, kappa, metric, clip, combine, server_learning_rate, integer_arrays, ballots, quorum,
    commit_window_s, ballot_window_s
        The rules of the task: see ``bcfl.consensus.spec.rules.Rules``.
    chain : Chain, optional
        Where the contract lives. It is started by ``start`` and stopped after.
    store : BlobStore, optional
        Where the deltas are kept.
    encrypt : bool
        Whether what is kept there, and sent from member to member, is sealed to the public
        keys of the members of the round and the coordinator, so that nobody else can read it.
    run_dir : path, optional
        The task's folder.
    resume : bool
        Go on with the task in ``run_dir`` instead of beginning one.
    transactions : {"relayed", "direct"}
        Relayed: clients sign, this process sends and pays. Direct: each client sends its own.
    membership, stake_wei, allowance_wei, allowed
        How a node becomes a member, and what ether it is given: see
        ``bcfl.consensus.server.members.Admission``.
    max_attempts : int
        How often a round may be void before the task stops.
    inner : Strategy, optional
        Aggregates the winners instead of ``combine``. One derived from ``FedAvg`` also says
        who is sampled and how evaluation is aggregated.
    seed : int
        Of the sampling, and of the development keys in simulations.
    on_phase : callable, optional
        Told (round, phase) when a phase begins.
    on_round : callable, optional
        Given the ``RoundRecord`` of every round, void ones included. A resumed task gives
        those of the rounds before once more, as the chain tells them.
    **sampling
        ``FedAvg``'s arguments: ``fraction_train``, ``min_available_nodes``, and so on.

    Raises
    ------
    ConfigurationError
        An argument out of range.
    """

    def __init__(
        self,
        *,
        gamma: float = 0.1,
        kappa: float = 0.5,
        metric: str | None = None,
        clip: Clip = "median_norm",
        combine: Combine = "carriers_mean",
        server_learning_rate: float = 1.0,
        integer_arrays: IntegerArrays = "refuse",
        ballots: Ballots = "open",
        quorum: int = 2,
        commit_window_s: int = 600,
        ballot_window_s: int = 600,
        chain: Chain | None = None,
        store: BlobStore | None = None,
        encrypt: bool = False,
        run_dir: Path | str | None = None,
        resume: bool = False,
        transactions: Literal["relayed", "direct"] = "relayed",
        membership: Admit = "allow_list",
        stake_wei: int = 0,
        allowance_wei: int = 0,
        allowed: Iterable[str] = (),
        max_attempts: int = 3,
        inner: Strategy | None = None,
        seed: int = 0,
        on_phase: Callable[[int, str], None] | None = None,
        on_round: Callable[[RoundRecord], None] | None = None,
        **sampling: Any,
    ) -> None:
        self.rules = Rules(
            gamma=gamma,
            kappa=kappa,
            metric=metric,
            clip=clip,
            combine=combine,
            server_learning_rate=server_learning_rate,
            integer_arrays=integer_arrays,
            ballots=ballots,
            quorum=quorum,
            commit_window_s=commit_window_s,
            ballot_window_s=ballot_window_s,
            inner=type(inner).__name__ if inner else "",
        )
        if isinstance(inner, FedAvg) and sampling:
            raise ConfigurationError(f"give {sorted(sampling)} to the inner strategy instead")
        if transactions not in ("relayed", "direct"):
            raise ConfigurationError(
                f"transactions is 'relayed' or 'direct'; found {transactions!r}"
            )
        if max_attempts < 1:
            raise ConfigurationError(f"max_attempts is at least 1; found {max_attempts}")
        self.inner = inner
        self._fedavg = inner if isinstance(inner, FedAvg) else FedAvg(**sampling)
        folder = (
            Path(run_dir) if run_dir else Path("bcfl-runs") / time.strftime("%Y-%m-%d_%H-%M-%S")
        )
        self.folder = TaskFolder(folder)
        self.chain = chain or EmbeddedChain(self.folder.chain, seed=seed)
        self.store = store or LocalStore(self.folder.blobs)
        self.seed = seed
        self._resume = resume
        self._direct = transactions == "direct"
        self._admission = Admission(membership, stake_wei, allowance_wei, tuple(allowed))
        self._encrypt = encrypt
        self._max_attempts = max_attempts
        self._on_phase = on_phase or (lambda round_, phase: None)
        self._on_round = on_round or (lambda record: None)
        self._timeout_s = float(commit_window_s)
        self._evaluate_config = ConfigRecord()
        self._task: Task | None = None

    @property
    def refused(self) -> dict[str, str]:
        """By address: why a node that is connected is no member."""
        return self._members.refused if self._task is not None else {}

    def summary(self) -> None:
        """Log the rules."""
        for name, value in self.rules.to_json().items():
            log(INFO, "\t├──> %s: %s", name, value)
        log(INFO, "\t└──> kept in %s", self.folder.path)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run the task: Flower's own loop, between beginning the task and leaving the chain.

        Parameters and return value are Flower's. ``timeout`` bounds the wait for the replies
        to one step; the commit window bounds it too. A resumed task goes on after the rounds
        that the chain shows closed; ``num_rounds`` counts those.

        Raises
        ------
        ConfigurationError, LedgerError, ModelError
            The task cannot begin.
        NobodyLeft, RoundVoid
            A round came to nothing, ``max_attempts`` times.
        """
        self._timeout_s = min(timeout, float(self.rules.commit_window_s))
        self._evaluate_config = evaluate_config or ConfigRecord()
        with ExitStack() as stack:
            stack.enter_context(self.chain)
            task = self._begin(grid, initial_arrays)
            done = task.rounds_done
            result = super().start(
                grid=grid,
                initial_arrays=to_array_record(task.arrays),
                num_rounds=max(0, num_rounds - done),
                timeout=self._timeout_s,
                train_config=train_config,
                evaluate_config=evaluate_config,
                evaluate_fn=(lambda r, a: evaluate_fn(r + done, a)) if evaluate_fn else None,
            )
        if num_rounds <= done:
            result.arrays = to_array_record(task.arrays)
        return count_from(result, done)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Open the round; ask the sampled members to train and commit (S1, S2)."""
        task = self._begin(grid, arrays)
        if self._members.welcome(task) and not task.ledger.state().round:
            # Who joins by itself joins a task that is there, and may read its first model, too.
            self._coordinator.store.put(encode_model(task.arrays))
        number = server_round + task.rounds_done
        config["server-round"] = number
        if self.inner is not None:
            list(self.inner.configure_train(number, arrays, config, grid))
        coordinator, inner = self._coordinator, self.inner
        self._round = RepeatedRound(
            coordinator,
            self._conversation,
            Configs(
                train=config,
                evaluate=ConfigRecord({**self._evaluate_config, "server-round": number}),
                rpc_url=self.chain.url,
                seed=self.seed,
                direct=self._direct,
            ),
            number,
            to_arrays(arrays),
            combine=hand_over_winners(inner, coordinator, number)
            if inner
            else coordinator.aggregate,
            sample=self._sample,
            on_phase=self._on_phase,
            on_round=self._on_round,
        )
        return self._round.open()

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Commit, review, ballot, select, aggregate, close (S3, S4); repeat a void round."""
        arrays = self._round.finish(list(replies), self._max_attempts)
        return to_array_record(arrays), train_metrics(self._fedavg, self._coordinator)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """FedAvg's, or the inner strategy's: the app's evaluate on the new global model."""
        assert self._task is not None
        number = server_round + self._task.rounds_done
        return self._fedavg.configure_evaluate(number, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """FedAvg's, or the inner strategy's, over the replies in the order of the members."""
        assert self._task is not None
        present = self._conversation.present(self._coordinator.members)
        members = {node: member for member, node in present.items()}
        ordered = sorted(replies, key=lambda r: members.get(r.metadata.src_node_id, -1))
        return self._fedavg.aggregate_evaluate(server_round + self._task.rounds_done, ordered)

    def _begin(self, grid: Grid, arrays: ArrayRecord) -> Task:
        """S1, once: meet the nodes; deploy the contract, or find the one there is."""
        if self._task is not None:
            return self._task
        keys = PublicKeys(self.folder.path / PUBLIC_KEYS) if self._encrypt else None
        self._conversation = Conversation(
            grid,
            self.chain.connect(self.chain.coordinator).chain_id,
            self.seed,
            self._timeout_s,
            self._fedavg.arrayrecord_key,
            self._fedavg.configrecord_key,
            keys,
        )
        self._members = Members(self._conversation, self.chain, self._admission, self.seed, keys)
        least = max(2, self._fedavg.min_available_nodes, self._fedavg.min_train_nodes)
        addresses = self._members.gather(grid, least)
        store = self._members.sealing(self.store, self.folder.path) if keys else self.store
        task = resume_task(self.chain, self.folder) if self._resume else None
        if task is not None:
            for record in past_records(task.ledger, self.folder.journal):
                self._on_round(record)
        else:
            first, stake_wei = to_arrays(arrays), self._admission.stake_wei
            task = begin_task(
                self.chain, store, self.folder, self.rules, self.seed, addresses, first, stake_wei
            )
            self._members.give_allowance(addresses)
        self.rules = task.rules
        self._task = task
        self._coordinator = Coordinator(
            task.ledger, store, self.folder, task.rules, self.chain.coordinator, task.spec
        )
        return task

    def _sample(self, number: int) -> list[int]:
        assert self._task is not None
        fedavg = self._fedavg
        return self._members.sample(
            self._task, number, fedavg.fraction_train, fedavg.min_train_nodes
        )
