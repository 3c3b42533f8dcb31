"""A round of peer consensus against one of FedAvg: seconds, where they go, memory, bytes down.

Every run is a process of its own, so that the memory is its own. Processes that compute alone are
measured by the processor's time, which other programs on the machine change less than the clock's.
What is compared takes turns, so that a machine that slows down slows down both. Of a ratio there is
the median of all turns and, in brackets, of their first and second half: as two sessions have it.
"""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, redirect_stdout
from functools import partial
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from unittest import mock

import numpy as np
import psutil
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.consensus import MemoryChain
from bcfl.consensus.member import task as members_task
from bcfl.consensus.parcels import IPFS_URL
from bcfl.consensus.spec.record import RoundRecord
from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.laboratory import laboratory
from bcfl.experiment.recorder import Recorder
from bcfl.flower.grid import InProcessGrid
from bcfl.store.local import LocalStore

_T = TypeVar("_T")
_STRATEGIES = ("fedavg", "peer_consensus")
#: By phase: of each round, seconds and CPU seconds.
_Phases: TypeAlias = dict[str, list[tuple[float, float]]]
PHASES = ("open", "train", "commit", "review", "ballot", "select", "aggregate", "close")


def alone(act: Callable[..., Any], *arguments: Any) -> Any:
    """What ``act`` returns in a new process, which says nothing of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(_quietly, act, *arguments).result()


def in_turns(acts: Mapping[str, Callable[[], _T]], turns: int) -> dict[str, list[_T]]:
    """What each returns, turn by turn, in a process that is its own all along."""
    spawn = multiprocessing.get_context("spawn")
    found: dict[str, list[_T]] = {name: [] for name in acts}
    with ExitStack() as stack:
        pools = {name: stack.enter_context(ProcessPoolExecutor(1, spawn)) for name in acts}
        for _ in range(turns):
            for name, act in acts.items():
                found[name].append(pools[name].submit(_quietly, act).result())
    return found


def halves(turns: Sequence[_T], ratio: Callable[[Sequence[_T]], float]) -> str:
    """Of all turns; of the first half; of the second."""
    half = len(turns) // 2
    return "{:.2f} ({:.2f}, {:.2f})".format(*map(ratio, (turns, turns[:half], turns[half:])))


def _quietly(act: Callable[..., Any], *arguments: Any) -> Any:
    logging.getLogger("flwr").setLevel("ERROR")
    return act(*arguments)


def peak_mb() -> int:
    """Of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def in_process(strategy: str, model: str, clients: int = 4, rounds: int = 2) -> tuple[float, int]:
    """Play an app of ``tests.benchmark.apps``: CPU seconds a round, peak memory."""
    from tests.benchmark.apps import MODELS, client_app, seeded, trained

    gc.collect()  # of the turn before
    make, steps = MODELS[model]
    module, times = seeded(make), list[float]()
    common = {"min_available_nodes": clients, "fraction_evaluate": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        peers = strategy == "peer_consensus"
        mods = [peer_consensus_mod] if peers else []
        used = PeerConsensus(**common, run_dir=f"{folder}/run") if peers else FedAvg(**common)  # type: ignore[arg-type]
        used.start(
            InProcessGrid(client_app(module, mods, steps), clients),
            trained(module),
            num_rounds=rounds,
            evaluate_fn=lambda *_: times.append(time.process_time()),
        )
    return (times[-1] - times[0]) / rounds, peak_mb()


def large(models: tuple[str, ...] = ("1M", "11M"), turns: int = 6) -> Iterator[list[str]]:
    """By model: seconds a round of each strategy, the median; the ratio of each turn; memory."""
    for model in models:
        acts = {strategy: partial(in_process, strategy, model) for strategy in _STRATEGIES}
        found = in_turns(acts, turns)
        seconds, memory = ([[turn[i] for turn in found[s]] for s in acts] for i in (0, 1))
        ratios = [peers / fedavg for fedavg, peers in zip(*seconds, strict=True)]
        yield [
            model,
            *(f"{statistics.median(each):.2f}" for each in seconds),
            halves(ratios, statistics.median),
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            *(f"{max(each):,}" for each in memory),
        ]


def run(*overrides: str) -> dict[str, Any]:
    """``bcfl run``: its result, and this process's peak memory."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        where = f"{folder}/run"
        assert run_with_hydra([*overrides, f"hydra.run.dir={where}"]) == 0
        result: dict[str, Any] = json.loads(Path(where, "result.json").read_text())
    return result | {"memory": peak_mb()}


def spent(result: dict[str, Any]) -> dict[str, float]:
    """The median of each phase's seconds, from the second round on."""
    later = [entry["seconds"] for entry in result["rounds"][1:] if "seconds" in entry]
    return {
        phase: statistics.median(seconds.get(phase, 0.0) for seconds in later)
        for phase in PHASES
        if any(phase in seconds for seconds in later)
    }


def watched(*overrides: str) -> _Phases:
    """``bcfl run``: by phase, of each round from the second on, seconds, and CPU seconds.

    The latter of this process and all that it started, so of Ray and its workers too.
    """
    marks: list[tuple[str, float, float]] = []
    processes: list[psutil.Process] = []
    enter, evaluate = Recorder.on_phase, Recorder.evaluate

    def mark(phase: str) -> None:
        if not processes or phase == "evaluate":
            this = psutil.Process()
            processes[:] = [this, *this.children(recursive=True)]
        marks.append((phase, time.perf_counter(), sum(map(_cpu_seconds, processes))))

    def on_phase(self: Recorder, round_: int, phase: str) -> None:
        mark(phase)
        enter(self, round_, phase)

    def on_evaluate(self: Recorder, *model: Any) -> MetricRecord:
        mark("evaluate")
        return evaluate(self, *model)

    with mock.patch.multiple(Recorder, on_phase=on_phase, evaluate=on_evaluate):
        run(*overrides)
    rounds: list[dict[str, tuple[float, float]]] = []
    for (phase, began, cpu), (_, ended, later) in pairwise(marks):
        if phase == "evaluate":
            rounds.append({})
        wall, spent_cpu = rounds[-1].get(phase, (0.0, 0.0))
        rounds[-1][phase] = wall + ended - began, spent_cpu + later - cpu
    return {
        phase: [seconds.get(phase, (0.0, 0.0)) for seconds in rounds[1:]]
        for phase in ("evaluate", *PHASES)
    }


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def on_ray(rounds: int = 5, sessions: int = 2) -> Iterator[list[str]]:
    """Ten clients, digits: of each phase CPU seconds and seconds, and their sum against FedAvg's.

    The strategies take turns, so that a machine that slows down slows down both.
    """
    fixed = ("engine=ray", "clients=10", f"rounds={rounds}")
    played = [
        [alone(watched, f"strategy={strategy}", *fixed) for strategy in _STRATEGIES]
        for _ in range(sessions)
    ]

    def medians(turns: Sequence[list[_Phases]], strategy: int, which: int) -> list[float]:
        return [
            statistics.median(pair[which] for turn in turns for pair in turn[strategy][phase])
            for phase in played[0][strategy]
        ]

    for name, which in (("CPU s", 1), ("s", 0)):
        for i, strategy in enumerate(_STRATEGIES):

            def ratio(turns: Sequence[list[_Phases]], i: int = i, which: int = which) -> float:
                return sum(medians(turns, i, which)) / sum(medians(turns, 0, which))

            found = medians(played, i, which)
            cells = [f"{seconds:.2f}" if seconds else "" for seconds in found]
            said = halves(played, ratio) if i else ""
            yield [f"{strategy}, {name}", *cells, f"{sum(found):.2f}", said]


def many(counts: tuple[int, ...] = (10, 50, 100)) -> Iterator[list[str]]:
    """By members, ``engine=stacked``: seconds a round on two chains, and memory."""
    for count in counts:
        fixed = ("engine=stacked", f"clients={count}", "rounds=3")
        found = [alone(run, f"chain={chain}", *fixed) for chain in ("memory", "embedded")]
        cells = [f"{sum(spent(result).values()):.1f}" for result in found]
        yield [str(count), *cells, f"{found[1]['memory']:,}"]


def cpu_of(*overrides: str) -> dict[str, Any]:
    """``bcfl run``: CPU seconds a round, from the second one on, and the last model."""
    times: list[float] = []
    evaluate = Recorder.evaluate

    def timed(self: Recorder, server_round: int, arrays: ArrayRecord) -> MetricRecord:
        metrics = evaluate(self, server_round, arrays)
        times.append(time.process_time())
        return metrics

    Recorder.evaluate = timed  # type: ignore[method-assign]  # in a process of its own
    result = run(*overrides)
    seconds = statistics.median(after - before for before, after in pairwise(times[1:]))
    return {"seconds": seconds, "model": result["final"]["model"]}


def cpu_of_lab(model: str, rounds: int) -> dict[str, Any]:
    """The same run in ``bcfl lab``, which plays it without messages, signatures and a chain."""
    seconds: list[float] = []
    play = laboratory.play

    def timed(*arguments: Any) -> Any:
        began = time.process_time()
        outcome = play(*arguments)
        seconds.append((time.process_time() - began) / rounds)
        return outcome

    laboratory.play = timed  # in a process of its own
    asked = (
        f"model={model}", f"rounds={rounds}", "warmup_rounds=3", "lab.rules=[borda]",
        "lab.attacks=[none]", "lab.partitions=[iid]", "lab.seeds=[1]", "lab.reference_size=0",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        (line,) = laboratory.Laboratory(Path(folder, "lab"), asked).play()
    return {"seconds": seconds[0], "model": line["model"]}


def ways(rounds: int = 10, times: int = 2) -> Iterator[list[str]]:
    """By model: the default run in three ways, in turn; the smallest of some tries each, how often
    the first takes as long, and how its last model's digest begins, which parts where equals are
    drawn by block hashes."""
    for model in ("mlp", "cnn"):
        fixed = (f"model={model}", f"rounds={rounds}")
        tries = [
            (
                alone(cpu_of, *fixed, "engine=in_process", "chain=embedded"),
                alone(cpu_of, *fixed, "engine=stacked", "chain=memory"),
                alone(cpu_of_lab, model, rounds),
            )
            for _ in range(times)
        ]
        slow, *quick = ([each["seconds"] for each in way] for way in zip(*tries, strict=True))
        digests = [each["model"][:8] for each in tries[0]]
        cells = [
            f"{min(each):.3f} {halves(list(zip(slow, each, strict=True)), _of_smallest)}"
            for each in quick
        ]
        yield [
            model,
            *(
                f"{cell} {it}"
                for cell, it in zip([f"{min(slow):.3f}", *cells], digests, strict=True)
            ),
        ]


def _of_smallest(pairs: Sequence[tuple[float, float]]) -> float:
    slow, quick = map(min, zip(*pairs, strict=True))
    return slow / quick


class _Shared(LocalStore):
    """A store that nodes read by themselves; counts what they fetch."""

    fetched = 0

    def locator(self, digest: bytes) -> str:
        return ""

    def learn(self, digest: bytes, locator: str) -> None:
        pass

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        blob = super().get(digest, max_bytes)
        self.fetched += len(blob)
        return blob


def _flat_app() -> ClientApp:
    """A model of 100,000 numbers, and training that takes no time."""
    app = ClientApp(mods=[peer_consensus_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        (before,) = message.content["arrays"].to_numpy_ndarrays()
        rng = np.random.default_rng(int(context.node_config["partition-id"]))
        after = before + rng.normal(size=before.shape).astype(before.dtype)
        content = {"arrays": ArrayRecord([after]), "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        (model,) = message.content["arrays"].to_numpy_ndarrays()
        metrics = MetricRecord({"eval_loss": float(model[:100].mean()), "num-examples": 1})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def sent_down(members: int, *, shared: bool) -> tuple[RoundRecord, float]:
    """A round's record, and the bytes that a member fetched from the store."""
    records: list[RoundRecord] = []
    with tempfile.TemporaryDirectory() as folder:
        grid = InProcessGrid(_flat_app(), members)
        store = _Shared(f"{folder}/store") if shared else LocalStore(f"{folder}/store")
        nodes = _Shared(f"{folder}/store")
        before = members_task._store_at
        members_task._store_at = lambda url: nodes  # type: ignore[assignment]
        try:
            for context in grid.contexts.values() if shared else ():
                context.node_config[IPFS_URL] = "http://127.0.0.1:5001"
            PeerConsensus(
                run_dir=f"{folder}/run",
                chain=MemoryChain(),
                store=store,
                on_round=records.append,
                warmup_rounds=0,
                min_available_nodes=members,
                fraction_evaluate=0.0,
            ).start(grid, ArrayRecord([np.zeros(100_000, np.float32)]), num_rounds=1)
        finally:
            members_task._store_at = before
    return records[0], nodes.fetched / members


def bytes_down(counts: tuple[int, ...] = (10, 50, 100)) -> Iterator[list[str]]:
    """Of a round, a member, 100,000 parameters, γ = 0.1: through the server, and from the store."""
    for members in counts:
        (plain, _), (shared, fetched) = (
            alone(partial(sent_down, shared=with_store), members) for with_store in (False, True)
        )
        cells = [plain.bytes_down / members, shared.bytes_down / members, fetched]
        yield [str(members), *(f"{cell:,.0f}" for cell in cells)]
