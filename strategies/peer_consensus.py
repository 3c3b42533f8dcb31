"""Peer consensus as a Flower strategy: the contract, not the server, picks the updates.

System A of CN110197285A / US11954592B2 (Tsinghua), *Secure collaborative deep learning
method and device based on blockchain*, claims 1 to 5. PROTOCOL's steps stand in their order: S1 is
``task_of``, S2 ``configure_train``, S3 and S4 are ``aggregate_train``, S5 is ``start``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from inspect import signature
from logging import INFO
from pathlib import Path
from typing import Any, Literal, Unpack

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from numpy.typing import NDArray

from bcfl.chain.chain import Chain
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.server.adoption import (
    FedAvgOptions,
    MessageApiOnly,
    agree_on_time,
    count_from,
    expect_fitting,
    rules_within,
    sort_out,
    within_its_task,
)
from bcfl.consensus.server.inner_memory import InnerMemory
from bcfl.consensus.server.inner_strategy import (
    Training,
    asked_by,
    asking_who_is_there,
    config_of_reviews,
    fedavg_within,
)
from bcfl.consensus.server.members import Admission, Admit
from bcfl.consensus.server.metrics import agreeing_replies
from bcfl.consensus.server.round import Configs, Round
from bcfl.consensus.server.round_log import in_closing
from bcfl.consensus.server.session import Session, begin
from bcfl.consensus.spec.codec import digest_of
from bcfl.consensus.spec.record import RoundRecord
from bcfl.consensus.spec.reference import encode_reference
from bcfl.consensus.spec.rules import RuleOptions, Rules
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import ConfigurationError, expect
from bcfl.flower.handlers import to_array_record, to_arrays
from bcfl.store.blob_store import BlobStore
from bcfl.store.local import LocalStore


class Options(RuleOptions, FedAvgOptions, total=False):
    """What ``PeerConsensus`` takes beside its own arguments: the rules, and FedAvg's arguments."""


class PeerConsensus(MessageApiOnly, FedAvg):
    """Commit, rate, and let the contract select; aggregate what it selected.

    Every client app needs ``mods=[peer_consensus_mod]``. Without further arguments the chain
    is embedded in this process and everything is kept under ``bcfl-runs/``.

    Parameters
    ----------
    rules : Rules, optional
        The rules of the task; single ones can be given by their names, ``gamma=0.05``.
    chain : Chain, optional
        Where the contract lives. It is started by ``start`` and stopped after.
    reference : mapping of str to ndarray, optional
        The reference set of ``rule="referee"``: samples by name, such as images and labels, which
        every member gets. Its digest is part of the rules. A task that is gone on with has it.
    store : BlobStore, optional
        Where the deltas are kept.
    encrypt : bool
        Whether what is kept there, and sent from member to member, is sealed to the public
        keys of the members of the round and the coordinator, so that nobody else can read it.
    run_dir : path, optional
        The task's folder. By default a new one under ``bcfl-runs/``, where the process runs.
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
        Aggregates the winners instead of ``combine``, and says who trains with which config
        and by which handler, and how evaluation is done: see
        ``bcfl.consensus.server.inner_strategy``.
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
        reference: Mapping[str, NDArray[Any]] | None = None,
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
        chosen, sampling = sort_out(options, signature(PeerConsensus.__init__).parameters)
        expect_fitting(inner, sampling)
        super().__init__(**sampling)
        self._reference = b"" if reference is None else encode_reference(reference)
        given: dict[str, Any] = {**chosen}
        if self._reference:
            given["reference"] = digest_of(self._reference).hex()
        self.rules = rules_within(inner, given, rules)
        self._stated = chosen if rules is None else self.rules.to_json()
        ways = ("relayed", "direct")
        expect(transactions in ways, "transactions", f"one of {ways}", repr(transactions))
        expect(max_attempts >= 1, "max_attempts", "at least 1", max_attempts)
        if self.rules.settlement == "optimistic":
            words = "with settlement=optimistic"
            expect(membership == "allow_list", "membership", f"allow_list {words}", membership)
            relayed = f"relayed {words}: a round is one transaction"
            expect(transactions == "relayed", "transactions", relayed, transactions)
        self.inner = inner
        self._memory = InnerMemory(inner) if inner else None
        named = Path(run_dir or Path("bcfl-runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
        self.folder = TaskFolder(named.absolute())
        self.chain = chain or EmbeddedChain(self.folder.chain, seed=seed)
        self.store = store or LocalStore(self.folder.blobs)
        self.seed = seed
        self._fedavg = fedavg_within(inner) or self
        self._admission = Admission(membership, stake_wei, allowance_wei, tuple(allowed))
        self._encrypt = encrypt
        self._resume = resume
        self._direct = transactions == "direct"
        self._max_attempts = max_attempts
        self._on_phase = on_phase or (lambda round_, phase: None)
        self._tell = on_round or (lambda record: None)
        self._records: list[RoundRecord] = []
        self._session: Session | None = None
        self._running = False
        self._rounds = 0  # how many there are to be, where that is known

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A start() of a derived class runs within its task."""
        super().__init_subclass__(**kwargs)
        if "start" in vars(cls):
            cls.start = within_its_task(cls.start)  # type: ignore[method-assign]

    @property
    def refused(self) -> dict[str, str]:
        """By address: why a node that is connected is no member."""
        return self._session.members.refused if self._session is not None else {}

    def summary(self) -> None:
        """Log the rules."""
        for name, value in self.rules.to_json().items():
            log(INFO, "\t├──> %s: %s", name, value)
        log(INFO, "\t└──> kept in %s", self.folder.path)

    @contextmanager
    def task_of(
        self,
        grid: Grid,
        arrays: ArrayRecord,
        timeout: float | None = None,
        evaluate_config: ConfigRecord | None = None,
    ) -> Iterator[Session]:
        """S1, and what follows the last round; within itself, nothing.

        ``start`` enters it; a loop of one's own does so by itself, ``with strategy.task_of(grid,
        arrays):``, and calls ``configure_train`` and ``aggregate_train`` there.

        Raises
        ------
        ConfigurationError
            This object has had its task; ``timeout`` contradicts the rules; or ``arrays`` is no
            ArrayRecord.
        """
        if self._running and self._session is not None:
            yield self._session
            return
        wanted = "an ArrayRecord, such as ArrayRecord(model.state_dict())"
        expect(isinstance(arrays, ArrayRecord), "initial_arrays", wanted, type(arrays).__name__)
        if self._session is not None:
            raise ConfigurationError(
                f"this PeerConsensus has had its task, in {self.folder.path}: make another; to go "
                "on with that one, PeerConsensus(run_dir=…, resume=True)"
            )
        self.rules, wait_s = agree_on_time(self.rules, self._stated, timeout)
        self._evaluate_config = evaluate_config or ConfigRecord()
        with self.chain:
            self._session = begin(
                grid,
                arrays,
                rules=self.rules,
                chain=self.chain,
                store=self.store,
                folder=self.folder,
                admission=self._admission,
                fedavg=self._fedavg,
                seed=self.seed,
                wait_s=wait_s,
                encrypt=self._encrypt,
                resume=self._resume,
                on_round=self._on_round,
                reference=self._reference,
            )
            self.rules, self.coordinator = self._session.task.rules, self._session.coordinator
            if self._memory is not None and self._session.task.rounds_done:
                self._memory.resume(self.folder, self._session.task.ledger.state().model)
            self._running = True
            try:
                yield self._session
                self._session.conclude()
            finally:
                self._running = False
        for line in in_closing(self._records, self.folder.path):
            log(INFO, "%s", line)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """S2: open the round; the sampled members train, and sign what they changed most."""
        session = self._expect_running()
        session.members.welcome(session.task)
        number = server_round + session.task.rounds_done
        config["server-round"] = number
        session.expect_global(arrays, model := to_arrays(arrays))
        self._round = Round(
            number,
            arrays,
            model,
            session.coordinator,
            session.conversation,
            session.members,
            Configs(
                self._training(number, arrays, config, grid),
                self._reviews(server_round, arrays, grid),
                self.chain.url,
                self.seed,
                self._direct,
            ),
            inner=self.inner,
            memory=self._memory,
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
            arrays, metrics = current.aggregate()  # S4: θ_g ← θ_g + η·combine({Δθ_j : j in U^O})
            # S4: the digest of the new θ_g goes on chain
            if arrays is not None and current.close(arrays, self._rounds):
                break
            replies = []  # a reorganisation of the chain took the choice back
        return to_array_record(arrays), metrics

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float | None = None,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """S5: begin the task, and repeat S2 to S4 by Flower's own loop.

        Parameters and return value are Flower's. ``timeout`` bounds the wait for the replies
        to one step, an hour by default; the windows of the rules follow it, unless they were
        stated. A resumed task goes on after the rounds that the chain shows closed;
        ``num_rounds`` counts those.

        Raises
        ------
        ConfigurationError, LedgerError, ModelError
            The task cannot begin.
        NobodyLeft, RoundVoid
            A round came to nothing, ``max_attempts`` times.
        """
        with self.task_of(grid, initial_arrays, timeout, evaluate_config) as session:
            first, done = to_array_record(session.task.arrays), session.task.rounds_done
            self._rounds = num_rounds
            result = super().start(
                grid=grid,
                initial_arrays=first,
                num_rounds=max(0, num_rounds - done),
                timeout=session.conversation.timeout_s,
                train_config=train_config,
                evaluate_config=evaluate_config,
                evaluate_fn=(lambda r, a: evaluate_fn(r + done, a)) if evaluate_fn else None,
            )
        if num_rounds <= done:
            result.arrays = first
        return count_from(result, done)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """FedAvg's, or the inner strategy's: the app's evaluate on the new global model."""
        number = server_round + self._expect_running().task.rounds_done
        configure = self.inner.configure_evaluate if self.inner else super().configure_evaluate
        with asking_who_is_there(self._fedavg, grid) as there:
            return list(configure(number, arrays, config, grid)) if there else []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """FedAvg's, or the inner strategy's, over the replies in the order of the members."""
        session = self._expect_running()
        members = {node: member for member, node in session.present().items()}
        usable = agreeing_replies(list(replies), members, self._fedavg.weighted_by_key)
        number = server_round + session.task.rounds_done
        aggregate = self.inner.aggregate_evaluate if self.inner else super().aggregate_evaluate
        return aggregate(number, usable)

    def _training(
        self, number: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Training:
        session, fedavg = self._expect_running(), self._fedavg
        if self.inner is None:
            return Training(
                RecordDict({fedavg.arrayrecord_key: arrays, fedavg.configrecord_key: config})
            )
        nodes = list(session.members.nodes(session.task.ledger).values())
        return asked_by(self.inner, number, arrays, config, grid, nodes, self.seed)

    def _reviews(self, server_round: int, arrays: ArrayRecord, grid: Grid) -> ConfigRecord:
        number = server_round + self._expect_running().task.rounds_done
        config = ConfigRecord({**self._evaluate_config, "server-round": number})
        ours = PeerConsensus.configure_evaluate, FedAvg.configure_evaluate
        if all(type(each).configure_evaluate in ours for each in (self, self.inner or self)):
            return config
        return config_of_reviews(self, server_round, arrays, config, grid)

    def _expect_running(self) -> Session:
        if not self._running or self._session is None:
            raise ConfigurationError(
                "PeerConsensus was called outside its own start(): a loop of your own goes within "
                "`with strategy.task_of(grid, arrays):`; a strategy that stands around this one "
                "goes inside, PeerConsensus(inner=…), as members train only on the model that the "
                "contract names"
            )
        return self._session

    def _on_round(self, record: RoundRecord) -> None:
        self._records.append(record)
        self._tell(record)
