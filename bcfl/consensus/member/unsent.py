"""What a member's delta left out, added in part to its next one: error feedback.

A share of it, ``error_feedback``: all of it is too much where others decide whether a delta counts
(Seide et al., 1-bit SGD, 2014, and Lin et al., Deep Gradient Compression, 2018, who average all).
It is kept in ``context.state``, which Flower keeps from message to message of a run, and belongs to
one contract. A run that is gone on with begins without: what its members signed, they repeat from
their own records, whatever was left out.

A void round has not been: the model is as it was, and the same training would be counted twice. So
the next try adds what the void one did. What was sent and did not win is gone: the others had it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context
from numpy.typing import NDArray

from bcfl.consensus.member.membership import Membership
from bcfl.core.model import Arrays
from bcfl.flower.handlers import to_array_record, to_arrays

_OF = "bcfl-unsent-of"  # whose, and of which θ_g the last is
_LAST, _BEFORE = "bcfl-unsent", "bcfl-unsent-before"


class Unsent:
    """What a member has left out so far, in one round of a task.

    Parameters
    ----------
    context : Context
    membership : Membership
    """

    def __init__(self, context: Context, membership: Membership) -> None:
        self._state = context.state
        self._share = membership.rules.error_feedback
        self._contract = membership.ledger.domain.contract
        self._base = membership.state.model

    def added_to(self, trained: Arrays) -> Arrays:
        """What this round's training came to, and a share of what was left out before."""
        record = self._state.array_records.get(_BEFORE if self._repeated else _LAST)
        if not self._share or record is None or self._known.get("contract") != self._contract:
            return trained
        unsent, share = to_arrays(record), np.float64(self._share)
        with np.errstate(over="ignore"):  # it is no delta then, which is said where one is made
            return {
                key: (array + share * unsent[key]).astype(array.dtype) if key in unsent else array
                for key, array in trained.items()
            }

    def keep(self, wanted: Arrays, sent: Arrays) -> None:
        """Remember what is between two models: what :meth:`added_to` gave, and what is sent."""
        if self._known.get("contract") != self._contract:
            self._state.pop(_LAST, None)
            self._state.pop(_BEFORE, None)
        elif not self._repeated and _LAST in self._state:
            self._state[_BEFORE] = self._state[_LAST]
        unsent: dict[str, NDArray[Any]] = {
            key: array - sent[key] for key, array in wanted.items() if array.dtype.kind == "f"
        }
        self._state[_LAST] = to_array_record(unsent)
        self._state[_OF] = ConfigRecord({"contract": self._contract, "base": self._base})

    @property
    def _known(self) -> Mapping[str, Any]:
        return self._state.config_records.get(_OF) or {}

    @property
    def _repeated(self) -> bool:
        """Whether the last round left θ_g as it was."""
        return bool(self._known.get("base") == self._base)
