"""What a delta of a large model costs: seconds and memory, from a change to bytes, and back."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bcfl.consensus.spec.codec import Heading, decode_delta, encode_delta
from bcfl.consensus.spec.delta import apply_delta, top_gamma
from bcfl.consensus.spec.values import Values

HEADING = Heading(bytes(20), 1, bytes(32))


def timed(act: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What it returns, and the processor's seconds."""
    began = time.process_time()
    found = act(*arguments)
    return found, time.process_time() - began


def measure(n: int, gamma: float, values: Values) -> tuple[list[float], float, float]:
    """Seconds of top γ, encode, decode and apply; peak memory of either side, in models.

    The member's is from its change to the bytes; the receiver's, from the bytes to the model.
    Both are there before, and counted.
    """
    kept = max(1, int(gamma * n))
    tracemalloc.start()
    change = np.random.default_rng(0).random(n, np.float32)
    change -= np.float32(0.5)
    tracemalloc.reset_peak()
    delta, top = timed(top_gamma, change, kept)
    blob, encode = timed(encode_delta, delta, HEADING, values)
    member = tracemalloc.get_traced_memory()[1] / change.nbytes
    dtype, base = change.dtype, np.zeros_like(change)
    del change, delta
    tracemalloc.reset_peak()
    found, decode = timed(decode_delta, blob, n, kept, dtype, HEADING, values)
    _, apply = timed(apply_delta, base, found)
    receiver = tracemalloc.get_traced_memory()[1] / base.nbytes
    tracemalloc.stop()
    return [top, encode, decode, apply], member, receiver


def steps(sizes: tuple[int, ...] = (10_000_000, 100_000_000)) -> Iterator[list[str]]:
    """Of γ = 0.1, and of all parameters."""
    kinds: tuple[tuple[float, Values], ...] = (
        (0.1, "float32"),
        (0.1, "ternary"),
        (1.0, "float32"),
        (1.0, "int8"),
    )
    for n in sizes:
        for gamma, values in kinds:
            seconds, member, receiver = measure(n, gamma, values)
            cells = [*(f"{each:.2f}" for each in seconds), f"{member:.1f}", f"{receiver:.1f}"]
            yield [f"{n:,}, γ = {gamma:g}", values, *cells]
