"""The contracts, as sources (``*.vy``) and as what the compiler made of them (``*.json``).

Deployable contracts are named in CamelCase and have a JSON of that name; modules that they
import are named in snake_case. ``python -m bcfl.contracts.build`` compiles, and with
``--check`` proves that the JSON is what the sources give. Using a contract needs no compiler.

=============================  ==========================================================
``PeerConsensus``, ``peer_*``  system A: rounds, commitments, ballots, winners
``borda``                      its scoring rule: the points of one ballot
``selection``                  its winners: the best by points, among equals by lot
``PeerCoalition``,             system A, where members propose sets, and rate these
``PeerReferee``,               instead of single deltas
``proposal*``
``coalition``, ``referee``     which of the proposals make the next model
``PeerSettlement``,            system A, a round in one transaction, which anybody may challenge
``settlement_*``
``refusals``                   why something does not count, and is passed over
``lanes``                      sixteen 15-bit counters in a word, added and compared at once
``membership``                 who is a member, and under which index
``ModelMarketplace``,          system B: tasks, submissions, verification, payment
``market_*``
``typed_data``                 EIP-712 domain and signature recovery
``pull_payments``              what the contract owes to whom
=============================  ==========================================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from bcfl.core.errors import ArtifactError

__all__ = ["Artifact", "artifact"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes  #: what a deploying transaction carries, before the constructor's arguments
    runtime_code: bytes
    """What stands at the contract's address, before the immutables, which follow it there."""


def artifact(name: str) -> Artifact:
    """The committed compilation of the contract of that name, such as ``"PeerConsensus"``.

    Raises
    ------
    ArtifactError
        There is no such contract, or its JSON was damaged.
    """
    source = resources.files(__name__).joinpath(f"{name}.json")
    try:
        compiled = json.loads(source.read_text(encoding="utf-8"))
        return Artifact(
            name=name,
            abi=compiled["abi"],
            bytecode=bytes.fromhex(compiled["bytecode"].removeprefix("0x")),
            runtime_code=bytes.fromhex(compiled["runtime_bytecode"].removeprefix("0x")),
        )
    except FileNotFoundError:
        raise ArtifactError(
            f"expected the compiled contract {name}.json beside the sources; found none; "
            "run `python -m bcfl.contracts.build`, which needs the package vyper"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"expected {name}.json to hold abi, bytecode and runtime_bytecode; found {error!r}; "
            "run `python -m bcfl.contracts.build`, which needs the package vyper"
        ) from error
