"""Updates that are whole models: their bytes, and the next model that is made of them.

Of arrays that are no numbers there is no difference: trees, for one, are bytes of any length. So
the reply of a member's train is its update as it is, whatever its arrays are called and however
they are shaped. Layout, little-endian::

    version u8 | 255 | author 20 bytes | round u64 | base 32 bytes | the arrays, as a model's

As in a delta's bytes, author, round and base make a copied blob never the copyist's.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.codec import Heading, expect_heading
from bcfl.core.errors import CodecError, ModelError
from bcfl.core.model import Arrays, decode_model, encode_model
from bcfl.core.strict_json import parse_json

#: What the winners' replies make, the best one first: it alone; or all their trees together.
Choice: TypeAlias = Literal["best", "bagging"]

MOST_BYTES = 2**28  #: of one update: nobody can know before how long one will be
_HEADER = struct.Struct("<BB20sQ32s")
_VERSION, _WHOLE = 1, 255  # where a delta has the code of its dtype


def encode_whole(arrays: Arrays, heading: Heading) -> bytes:
    """The canonical bytes of ``arrays`` as an update.

    Raises
    ------
    ModelError
        An array that has no canonical bytes, or more of them than are taken.
    """
    header = _HEADER.pack(_VERSION, _WHOLE, heading.author, heading.round, heading.base)
    blob = header + encode_model(arrays)
    if len(blob) > MOST_BYTES:
        raise ModelError(f"expected an update of at most {MOST_BYTES:,} bytes; found {len(blob):,}")
    return blob


def decode_whole(blob: bytes, heading: Heading) -> dict[str, NDArray[Any]]:
    """Invert :func:`encode_whole`.

    Raises
    ------
    CodecError
        Anything else than the update that ``heading`` names, in its one encoding.
    """
    if not _HEADER.size <= len(blob) <= MOST_BYTES:
        raise CodecError(
            f"expected a whole update of {_HEADER.size} to {MOST_BYTES} bytes; found {len(blob)}"
        )
    version, kind, author, round_, base = _HEADER.unpack_from(blob)
    if (version, kind) != (_VERSION, _WHOLE):
        raise CodecError(f"expected a whole update, {(_VERSION, _WHOLE)}; found {(version, kind)}")
    expect_heading(Heading(author, round_, base), heading)
    return decode_model(blob[_HEADER.size :])


def bagged(base: Arrays, replies: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """``base`` and the trees of all replies, in their order: XGBoost's JSON, as uint8.

    As Flower's ``FedXgbBagging``, to the byte where a reply is one boosting round of one tree. Of
    longer ones that takes the first tree; here all of them count.

    Parameters
    ----------
    base : mapping of str to ndarray
        One array; empty before the first round.
    replies : sequence of mappings of str to ndarray
        Each as ``base``, of new trees alone. What one of them makes of ``base``, it makes of it
        among others: a reply that can be joined to one model can be joined to any.

    Raises
    ------
    ModelError
        One of them is not such a model.
    """
    try:
        (key,), (held,) = base.keys(), base.values()
        joined = _read(held) if held.size else None
        for reply in replies:
            (array,) = reply.values()
            new = _read(array)
            joined = _join(joined, new) if joined else new
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "combine='bagging' joins boosters, each one uint8 array of save_raw('json'); found "
            f"something else: {error!r:.200}"
        ) from error
    return {key: np.frombuffer(json.dumps(joined).encode(), np.uint8)}


def _read(array: NDArray[Any]) -> dict[str, Any]:
    """A booster, with all in it that joining needs."""
    booster: dict[str, Any] = parse_json(array.tobytes())
    model = _model(booster)
    starts, groups = model["iteration_indptr"], model["tree_info"]
    count = len(model["trees"])
    model["gbtree_model_param"]["num_trees"] = str(count)
    if not all(isinstance(each, list) for each in (starts, groups, model["trees"])):
        raise TypeError("expected lists of trees, of their groups, and of where rounds begin")
    whole = all(type(number) is int for number in starts + groups)
    rounds = whole and starts[:1] == [0] and starts == sorted(starts) and starts[-1] == count
    if not rounds or len(groups) != count or any(not isinstance(t, dict) for t in model["trees"]):
        raise ValueError("expected the group and the round of every tree")
    return booster


def _join(booster: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    model, new = _model(booster), _model(more)
    count = len(model["trees"])
    for number, tree in enumerate(new["trees"]):
        model["trees"].append({**tree, "id": count + number})
    model["tree_info"] += new["tree_info"]
    model["iteration_indptr"] += [count + start for start in new["iteration_indptr"][1:]]
    model["gbtree_model_param"]["num_trees"] = str(len(model["trees"]))
    return booster


def _model(booster: dict[str, Any]) -> Any:
    return booster["learner"]["gradient_booster"]["model"]
