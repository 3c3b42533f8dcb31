"""``make bench``: what a round costs in gas, bytes and time, measured here and now.

Gas and bytes are exact, and snapshots in the suite hold them; seconds are this machine's. All
tables take a quarter of an hour; ``make bench ONLY="bytes ray"`` prints those that are named.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.spec.codec import Heading, blob_size, decode_delta, encode_delta
from bcfl.consensus.spec.delta import top_gamma
from bcfl.consensus.spec.values import Values
from tests.benchmark import rounds
from tests.benchmark.steps import steps
from tests.contracts import market_gas, peer_consensus_gas

PARAMETERS = 1_000_000
HEADING = Heading(bytes(20), 1, bytes(32))


def seconds(act: Callable[[], Any], times: int = 5) -> float:
    """The quickest of some tries."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        found.append(time.perf_counter() - began)
    return min(found)


def deltas() -> Iterable[list[str]]:
    """Deltas of a million float32 parameters: bytes against the bound, and the time they take."""
    change = np.random.default_rng(0).normal(size=PARAMETERS).astype(np.float32)
    for gamma in (0.001, 0.01, 0.1, 1.0):
        kept = math.ceil(gamma * PARAMETERS)
        delta = top_gamma(change, kept)
        blob = encode_delta(delta, HEADING)
        choices = math.lgamma(PARAMETERS + 1) - math.lgamma(kept + 1)
        choices -= math.lgamma(PARAMETERS - kept + 1)
        bound = choices / math.log(2) / 8 + 4 * kept
        acts: list[Callable[[], object]] = [
            partial(top_gamma, change, kept),
            partial(encode_delta, delta, HEADING),
            partial(decode_delta, blob, PARAMETERS, kept, change.dtype, HEADING),
        ]
        times = [f"{seconds(act) * 1e3:.1f}" for act in acts]
        short = [blob_size(PARAMETERS, kept, change.dtype, each) for each in get_args(Values)[1:]]
        sizes = [f"{size:,}" for size in (len(blob), *short)]
        yield [f"{gamma:g}", sizes[0], f"{len(blob) / bound - 1:+.1%}", *sizes[1:], *times]


def gas_of_rounds() -> Iterable[list[str]]:
    """Gas of a round of peer consensus, by members."""
    for members, gas in peer_consensus_gas.measure().items():
        phases = ("commit", "cast_ballots", "close_round", "round")
        yield [members, *(f"{gas[phase]:,}" for phase in phases)]


def submissions() -> Iterable[list[str]]:
    """Gas of a submission to the marketplace, five verifiers."""
    for name, gas in market_gas.measure().items():
        if isinstance(gas, dict):
            yield [name, f"{gas['all']:,}"]


def calls() -> Iterable[list[str]]:
    """Reads from the embedded chain over JSON-RPC."""
    with EmbeddedChain() as chain, chain.connect() as connection:
        yield ["block number", f"{seconds(connection.block_number, 50) * 1e3:.2f}"]


def show(console: Console, title: str, headings: list[str], rows: Iterable[list[str]]) -> None:
    """Print one table."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(f"[bold]{title}[/bold]")
    console.print(table, "")


SENT = ["γ", "bytes", "over the bound", *get_args(Values)[1:], "top γ, ms", "encode, ms", "decode"]
STEPS = ["parameters", "values", "top γ, s", "encode", "decode", "apply", "member", "receiver"]
SIZES = ["model", "FedAvg, CPU s", "peers", "ratio", "turns", "FedAvg, MB", "peers, MB"]

#: By name: a title, the headings, and what measures the rows.
TABLES: dict[str, tuple[str, list[str], Callable[[], Iterable[list[str]]]]] = {
    "deltas": (f"A delta of {PARAMETERS:,} float32 parameters", SENT, deltas),
    "gas": (
        "Gas of a round",
        ["members", "commit", "ballots and selection", "close and open", "all"],
        gas_of_rounds,
    ),
    "market": ("Gas of a submission", ["", "from publishing to payment"], submissions),
    "calls": ("JSON-RPC, embedded chain", ["", "ms a call"], calls),
    "steps": (
        "Large deltas: CPU seconds, and peak memory in models",
        STEPS,
        steps,
    ),
    "ray": (
        "A round on Ray, ten clients, digits: by phase, and how often FedAvg's",
        ["", "evaluate", *rounds.PHASES, "all", "ratio"],
        rounds.on_ray,
    ),
    "large": ("A round of large models, four clients, one process", SIZES, rounds.large),
    "lora": (
        "A round of a transformer with 10M trained parameters, four clients",
        SIZES,
        partial(rounds.large, ("LoRA 10M",)),
    ),
    "many": (
        "A round of many members, engine=stacked: seconds",
        ["members", "chain=memory", "chain=embedded", "MB"],
        rounds.many,
    ),
    "ways": (
        "A round of the default run: CPU seconds (how many times as quick), and the last model",
        ["", "in_process, embedded", "stacked, memory", "bcfl lab"],
        rounds.ways,
    ),
    "bytes": (
        "Bytes down a member and round, 100,000 parameters, γ = 0.1",
        ["members", "by the server", "with a store of their own", "and fetched"],
        rounds.bytes_down,
    ),
}


def main() -> None:
    """Print all tables, or those that are named."""
    console = Console(width=120)
    for name in sys.argv[1:] or TABLES:
        title, headings, measure = TABLES[name]
        show(console, title, headings, measure())


if __name__ == "__main__":
    main()
