"""One seed for a run, and from it one for each purpose."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, such as ``derive_seed(seed, "train", partition, round)``.

    Hashed, not added up, so that no two purposes share a stream by accident.
    """
    words = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1
