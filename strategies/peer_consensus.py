"""Peer consensus as a Flower strategy: the contract, not the server, picks the updates.

System A of CN110197285A / US11954592B2 (Tsinghua), *Secure collaborative deep learning
method and device based on blockchain*, claims 1 to 5. PROTOCOL's steps stand in their order: S1 is
``_begin``, S2 ``configure_train``, S3 and S4 are ``aggregate_train``, S5 is ``start``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from inspect import signature
from logging import INFO
from pathlib import Path
from typing import Any, Literal, Unpack

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result, Strategy

from bcfl.chain.chain import Chain
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.inner_strategy import FedAvgOptions, count_from, train_metrics
from bcfl.consensus.server.members import Admission, Admit, Members
from bcfl.consensus.server.metrics import agreeing_replies
from bcfl.consensus.server.round import Configs, Round
from bcfl.consensus.server.round_log import past_records
from bcfl.consensus.server.task import begin_task, resume_task
from bcfl.consensus.spec.record import RoundRecord
from bcfl.consensus.spec.rules import RuleOptions, Rules
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import ConfigurationError, expect
from bcfl.flower.handlers import to_array_record, to_arrays
from bcfl.keys.public_keys import PublicKeys
from bcfl.store.blob_store import BlobStore
from bcfl.store.local import LocalStore

__all__ = ["Options", "PeerConsensus"]


class Options(RuleOptions, FedAvgOptions, total=False):
    """What ``PeerConsensus`` takes beside its own arguments: the rules, and FedAvg's arguments."""


class PeerConsensus(Strategy):
    """Commit, rate, and let the contract select; aggregate what it selected.

    Every client app needs ``mods=[peer_consensus_mod]``. Without further arguments the chain
    is embedded in this process and everything is kept under ``bcfl-runs/``.

    Parameters
    ----------
    rules : Rules, optional
        The rules of the task; single ones can be given by their names, ``gamma=0.05``.
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
    **options
        The rules, see ``bcfl.consensus.spec.rules.Rules``, and ``FedAvg``'s arguments:
        ``fraction_train``, ``min_available_nodes``, and so on.

    Raises
    ------
    ConfigurationError
        An argument out of range, or one that there is not.
    """

    def __init__(
        self,
        *,
        rules: Rules | None = None,
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
        **options: Unpack[Options],
    ) -> None:
        chosen, sampling = _sort_out(options)
        name = type(inner).__name__ if inner else ""
        self.rules = replace(rules or Rules(), **chosen, inner=name)
        if isinstance(inner, FedAvg) and sampling:
            raise ConfigurationError(f"give {sorted(sampling)} to the inner strategy instead")
        ways = ("relayed", "direct")
        expect(transactions in ways, "transactions", f"one of {ways}", repr(transactions))
        expect(max_attempts >= 1, "max_attempts", "at least 1", max_attempts)
        self.inner = inner
        self.folder = TaskFolder(
            Path(run_dir or Path("bcfl-runs") / time.strftime("%Y-%m-%d_%H-%M-%S"))
        )
        self.chain = chain or EmbeddedChain(self.folder.chain, seed=seed)
        self.store = store or LocalStore(self.folder.blobs)
        self.seed = seed
        self._fedavg = inner if isinstance(inner, FedAvg) else FedAvg(**sampling)
        self._admission = Admission(membership, stake_wei, allowance_wei, tuple(allowed))
        self._encrypt = encrypt
        self._resume = resume
        self._direct = transactions == "direct"
        self._max_attempts = max_attempts
        self._on_phase = on_phase or (lambda round_, phase: None)
        self._on_round = on_round or (lambda record: None)
        self._members: Members | None = None

    @property
    def refused(self) -> dict[str, str]:
        """By address: why a node that is connected is no member."""
        return self._members.refused if self._members is not None else {}

    def summary(self) -> None:
        """Log the rules."""
        for name, value in self.rules.to_json().items():
            log(INFO, "\t├──> %s: %s", name, value)
        log(INFO, "\t└──> kept in %s", self.folder.path)

    def _begin(self, grid: Grid, arrays: ArrayRecord, timeout_s: float) -> None:
        """S1: meet the nodes; deploy the contract with members, rules and θ_g, or find it."""
        account, folder, fedavg = self.chain.coordinator, self.folder, self._fedavg
        chain_id = self.chain.connect(account).chain_id
        keys = PublicKeys(folder.public_keys) if self._encrypt else None
        records = fedavg.arrayrecord_key, fedavg.configrecord_key
        self._conversation = Conversation(grid, chain_id, self.seed, timeout_s, *records, keys)
        self._members = Members(
            self._conversation,
            self.chain,
            self._admission,
            fedavg,
            self.seed,
            self.store,
            folder,
            keys,
        )
        parcels, addresses = self._members.parcels, self._members.gather(grid)
        task = resume_task(self.chain, folder) if self._resume else None
        if task is None:
            first, stake_wei = to_arrays(arrays), self._admission.stake_wei
            task = begin_task(
                self.chain, parcels, folder, self.rules, self.seed, addresses, first, stake_wei
            )
            self._members.give_allowance(addresses)
        size_bytes = task.spec.size_bytes
        for record in past_records(task.ledger, folder.journal, parcels, size_bytes):
            self._on_round(record)
        self._task, self.rules = task, task.rules
        self.coordinator = Coordinator(task, parcels, folder, account)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """S2: open the round; the sampled members train, and sign what they changed most."""
        assert self._members is not None
        self._members.welcome(self._task)
        number = server_round + self._task.rounds_done
        config["server-round"] = number
        if self.inner is not None:
            list(self.inner.configure_train(number, arrays, config, grid))
        evaluate_config = ConfigRecord({**self._evaluate_config, "server-round": number})
        self._round = Round(
            number,
            to_arrays(arrays),
            self.coordinator,
            self._conversation,
            self._members,
            Configs(config, evaluate_config, self.chain.url, self.seed, self._direct),
            inner=self.inner,
            max_attempts=self._max_attempts,
            on_phase=self._on_phase,
            on_round=self._on_round,
        )
        return self._round.open()

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """S3, S4: the members' deltas, their ballots, the contract's choice, the next θ_g."""
        current = self._round
        while True:
            current.commit(replies)  # S3: the digest of every delta goes on chain
            current.review()  # S3: members check and rate the others' deltas; M goes on chain
            if not current.select():  # S4: the contract adds up the scores and selects U^O
                replies = current.repeat()  # too few took part: the round is void
                continue
            arrays = current.aggregate()  # S4: θ_g ← θ_g + η·combine({Δθ_j : j in U^O})
            if current.close(arrays):  # S4: the digest of the new θ_g goes on chain
                break
            replies = []  # a reorganisation of the chain took the choice back
        return to_array_record(arrays), train_metrics(self._fedavg, self.coordinator)

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
        """S5: begin the task, and repeat S2 to S4 by Flower's own loop.

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
        timeout = min(timeout, float(self.rules.commit_window_s))
        self._evaluate_config = evaluate_config or ConfigRecord()
        with self.chain:
            self._begin(grid, initial_arrays, timeout)
            first, done = to_array_record(self._task.arrays), self._task.rounds_done
            result = super().start(
                grid=grid,
                initial_arrays=first,
                num_rounds=max(0, num_rounds - done),
                timeout=timeout,
                train_config=train_config,
                evaluate_config=evaluate_config,
                evaluate_fn=(lambda r, a: evaluate_fn(r + done, a)) if evaluate_fn else None,
            )
            self._task.ledger.state()  # on the chain to stay, as far as is known
            owed = self.coordinator.owed | self.coordinator.ballot_receipts()
            self._conversation.hand_out(owed, self._present())
        if num_rounds <= done:
            result.arrays = first
        return count_from(result, done)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """FedAvg's, or the inner strategy's: the app's evaluate on the new global model.

        By who is there: FedAvg would wait for those that have left.
        """
        number, fedavg = server_round + self._task.rounds_done, self._fedavg
        least = fedavg.min_available_nodes, fedavg.min_evaluate_nodes
        there = len(list(grid.get_node_ids()))
        fedavg.min_available_nodes, fedavg.min_evaluate_nodes = (min(n, there) for n in least)
        try:
            return fedavg.configure_evaluate(number, arrays, config, grid) if there else []
        finally:
            fedavg.min_available_nodes, fedavg.min_evaluate_nodes = least

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """FedAvg's, or the inner strategy's, over the replies in the order of the members."""
        members = {node: member for member, node in self._present().items()}
        usable = agreeing_replies(list(replies), members, self._fedavg.weighted_by_key)
        return self._fedavg.aggregate_evaluate(server_round + self._task.rounds_done, usable)

    def _present(self) -> dict[int, int]:
        return self._conversation.present(self.coordinator.members)


def _sort_out(options: Options) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rules, and FedAvg's arguments. Raises ConfigurationError for what is neither."""
    own = signature(PeerConsensus.__init__).parameters.keys() - {"self", "options"}
    of_rules, of_fedavg = RuleOptions.__annotations__.keys(), signature(FedAvg).parameters.keys()
    for name in options.keys() - of_rules - of_fedavg:
        close = get_close_matches(name, sorted(own | of_rules | of_fedavg), n=1)
        hint = f"did you mean {close[0]}?" if close else f"its rules are {', '.join(of_rules)}"
        raise ConfigurationError(f"PeerConsensus takes no argument {name!r}; {hint}")
    rules = {name: value for name, value in options.items() if name in of_rules}
    return rules, {name: value for name, value in options.items() if name in of_fedavg}
