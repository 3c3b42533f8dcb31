"""The reference set of ``rule=referee``: named arrays of samples, as bytes that have one digest.

The bytes are those of a model (``bcfl.core.model.encode_model``); their digest is in the rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import CodecError, ConfigurationError, ModelError, ProtocolError
from bcfl.core.model import Arrays, decode_model, encode_model

#: It travels with every review.
MOST_BYTES = 2**28


def encode_reference(samples: Mapping[str, NDArray[Any]]) -> bytes:
    """The canonical bytes.

    Parameters
    ----------
    samples : mapping of str to ndarray
        Such as ``{"images": …, "labels": …}``: the first axis counts the samples.

    Raises
    ------
    ConfigurationError
        There are none, the arrays count differently, are of a dtype that is not carried, or take
        more than ``MOST_BYTES``.
    """
    counts = {name: len(array) if np.ndim(array) else 0 for name, array in samples.items()}
    if not counts or len({*counts.values()}) != 1 or not all(counts.values()):
        raise ConfigurationError(
            f"reference: expected arrays of as many samples each; found {counts or 'none'}"
        )
    try:
        encoded = encode_model(dict(samples))
    except (ModelError, CodecError) as error:
        raise ConfigurationError(f"reference: {error}") from error
    if len(encoded) > MOST_BYTES:
        raise ConfigurationError(
            f"reference: expected at most {MOST_BYTES:,} bytes, as it travels with every review; "
            f"found {len(encoded):,}. A few samples of each class do"
        )
    return encoded


def decode_reference(blob: bytes, digest: str) -> Arrays:
    """The samples, if they are those that the rules name.

    Parameters
    ----------
    digest : str
        ``Rules.reference``.

    Raises
    ------
    ProtocolError
        They are others.
    """
    if (found := hashlib.sha256(blob).hexdigest()) != digest:
        raise ProtocolError(
            f"expected the reference set {digest[:16]}…, as the rules say; the server sent "
            f"{found[:16] + '…' if blob else 'none'}"
        )
    try:
        return decode_model(blob)
    except CodecError as error:
        raise ProtocolError(f"the reference set of the rules is none: {error}") from error
