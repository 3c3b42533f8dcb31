"""``make bench``: what a round costs in gas, bytes and time, measured here and now.

Gas and bytes are exact, and snapshots in the suite hold them; seconds are this machine's.
"""

from __future__ import annotations

import math
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


def rounds() -> Iterable[list[str]]:
    """Gas of a round of peer consensus, by members."""
    for members, gas in peer_consensus_gas.measure().items():
        phases = ("open_round", "commit", "cast_ballots", "select", "close_round", "round")
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


def main() -> None:
    """Print all tables."""
    console = Console(width=110)
    show(
        console,
        f"A delta of {PARAMETERS:,} float32 parameters",
        [
            "γ",
            "bytes",
            "over the bound",
            *get_args(Values)[1:],
            "top γ, ms",
            "encode, ms",
            "decode",
        ],
        deltas(),
    )
    show(
        console,
        "Gas of a round",
        ["members", "open", "commit", "ballots", "select", "close", "all"],
        rounds(),
    )
    show(console, "Gas of a submission", ["", "from publishing to payment"], submissions())
    show(console, "JSON-RPC, embedded chain", ["", "ms a call"], calls())


if __name__ == "__main__":
    main()
