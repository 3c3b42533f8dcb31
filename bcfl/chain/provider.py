"""The way to a node: over HTTP as ``json_rpc`` goes, or by a user's own ``Web3`` (``own_web3``).

What may pass is asked again here, whichever way it goes: a node that is busy, that limits
requests, or that has not heard of a block yet.
"""

from __future__ import annotations

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import tenacity

from bcfl.chain.patience import tries
from bcfl.core.errors import LedgerError, NodeRefused, NodeUnreachable

logger = logging.getLogger(__name__)

REVERTED: Final = 3  #: the code that geth gives a revert
PRUNED: Final = 4444  #: and what lies before the history that it keeps (EIP-4444)
#: One attempt: only who signed the transaction knows what a second one is.
_SEND: Final = "eth_sendRawTransaction"
#: A query that can be made smaller.
LOGS: Final = "eth_getLogs"
#: JSON-RPC's "limit exceeded" (EIP-1474): of requests at some hosted nodes, of results at others.
_LIMIT_EXCEEDED: Final = -32005
#: Too many requests, in the words of Infura, Alchemy, QuickNode, Ankr and Cloudflare.
_RATE: Final = re.compile(
    r"too many requests|rate.?limit|rate (is )?exceeded|per second|compute units|throughput"
    r"|request (count|limit)|usage limit|exceeded.{0,20}quota|slow down"
)
#: The node is busy or behind: geth, Erigon, Nethermind, Besu, reth, anvil, and balancers' words.
_PASSING: Final = re.compile(
    r"(header|block).{0,90}(not found|unknown|not available|out ?of ?range|requested was)"
    r"|unknown (block|header)|beyond.{0,40}(head|latest)|(after|above|past).{0,20}(head|latest)"
    r"|missing trie node|indexing|sync(ing|ed|hroniz)|temporar|try again|retry|overload|busy"
    r"|unavailable|no healthy|upstream|backend|gateway|internal (server )?error"
)
_SLOW: Final = re.compile(r"time[d -]?out|took too long|deadline exceeded")


#: A method, and its parameters.
Call: TypeAlias = tuple[str, Sequence[Any]]
#: In place of an answer: there is none, whyever.
FAILED: Final = object()


class TooMuch(LedgerError):
    """The node would not, or could not in time, answer so large a query; ask for less."""


class PassingError(Exception):
    """A failure that may not happen again; carries the error to raise if it does.

    Parameters
    ----------
    error : LedgerError
    heavy : bool
        Whether a smaller question might have been answered.
    """

    def __init__(self, error: LedgerError, *, heavy: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.heavy = heavy


class NodeProvider(ABC):
    """Requests whose every failure is a ``LedgerError``.

    Parameters
    ----------
    retry_s : float
        For how long a request is tried again. 0: one attempt only.
    sleep, clock : callable
        Seconds to wait, and seconds since some start; exchanged in tests.
    """

    def __init__(
        self,
        *,
        retry_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retry_s = retry_s
        self.sleep = sleep
        self.clock = clock

    @property
    def patience_s(self) -> float:
        """For how long the node may have to learn what is asked of it."""
        return self.retry_s

    @abstractmethod
    def attempt(self, method: str, params: Any) -> Any:
        """Ask once. Raises LedgerError, or PassingError where it may be asked again."""

    def request(self, method: str, params: Any, *, retry_s: float | None = None) -> Any:
        """What the node answers to ``method``; all but ``eth_sendRawTransaction`` are repeated.

        Parameters
        ----------
        method : str
            Such as ``eth_getCode``.
        params : sequence
            JSON-serialisable.
        retry_s : float, optional
            Instead of the provider's own.

        Raises
        ------
        NodeUnreachable
            Nobody answered, or something that is no node did.
        ReplyMalformed
            The answer is no JSON-RPC reply to this request, or too long.
        NodeRefused
            The node answered with an error.
        TooMuch
            ``eth_getLogs`` only: fewer blocks may have an answer.
        """
        budget, start = self.patience_s if retry_s is None else retry_s, self.clock()
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda error: (
                    isinstance(error, PassingError)
                    and not (method == _SEND or (method == LOGS and error.heavy))
                )
            ),
            wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=5.0, jitter=0.2),
            stop=lambda state: self.clock() - start + state.upcoming_sleep > budget,
            sleep=self.sleep,
            before_sleep=lambda state: logger.warning(
                "%s: attempt %d failed (%s); trying again",
                method,
                state.attempt_number,
                state.outcome.exception() if state.outcome else None,
            ),
            reraise=True,
        )
        try:
            return attempts(self.attempt, method, params)
        except PassingError as failure:
            if method == LOGS and failure.heavy:
                raise TooMuch(str(failure.error)) from failure.error
            if method == _SEND and isinstance(failure.error, NodeRefused):
                # the transaction was not looked at
                raise NodeUnreachable(f"{failure.error}.") from failure.error
            raise failure.error from failure.__cause__

    def request_many(self, method: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """What the node answers to ``method`` for each row of parameters; as ``request``."""
        return self.request_each([(method, row) for row in rows])

    def request_each(self, calls: Sequence[Call]) -> list[Any]:
        """What the node answers to each; as ``request``, in few requests where it takes batches."""
        return [
            self.request(*call) if answer is FAILED else answer
            for call, answer in zip(calls, self.glance(calls), strict=True)
        ]

    def glance(self, calls: Sequence[Call]) -> list[Any]:
        """The answers that come of one attempt, all in one request; else ``FAILED``."""
        return [FAILED] * len(calls)

    def tries(self, budget_s: float | None = None) -> Iterator[float]:
        """Steps at which to ask once more for what is not there yet; see ``patience.tries``."""
        return tries(self.patience_s if budget_s is None else budget_s, self.sleep, self.clock)

    def close(self) -> None:  # noqa: B027 - most have none
        """Let go of connections that are ours."""


def _refusal(method: str, said: Mapping[str, Any]) -> NodeRefused:
    """The error object of a JSON-RPC reply; some nodes wrap the revert data once more."""
    code, data = said.get("code"), said.get("data")
    if isinstance(data, dict):
        data = data.get("data")
    return NodeRefused(
        method,
        code if isinstance(code, int) else 0,
        str(said.get("message", "")),
        data if isinstance(data, str) else "",
    )


def refused(method: str, said: Mapping[str, Any]) -> NodeRefused | PassingError:
    """The error to raise for the error object of a reply: final, or one that may pass."""
    error = _refusal(method, said)
    words = error.message.lower()
    if error.code in (REVERTED, PRUNED) or "revert" in words or "pruned" in words:
        return error
    if _RATE.search(words) or error.code == 429:
        return PassingError(error)
    if error.code == _LIMIT_EXCEEDED or _SLOW.search(words):
        return PassingError(error, heavy=True)
    return PassingError(error) if _PASSING.search(words) else error
