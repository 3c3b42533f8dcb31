"""web3's way to a node: over HTTP as ``json_rpc`` does it, or a ``Web3`` of the user's own.

What may pass is asked again here, whichever way it goes: a node that is busy, that limits
requests, or that has not heard of a block yet.
"""

from __future__ import annotations

import logging
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import requests
import tenacity
from web3 import Web3
from web3.exceptions import ContractLogicError, ProviderConnectionError, Web3RPCError
from web3.providers import BaseProvider
from web3.providers.eth_tester import EthereumTesterProvider

from bcfl.chain.patience import tries
from bcfl.chain.wire import to_json
from bcfl.core.errors import LedgerError, NodeRefused, NodeUnreachable, ReplyMalformed

logger = logging.getLogger(__name__)

_REVERTED: Final = 3  # the code that geth gives a revert
PRUNED: Final = 4444  #: and what lies before the history that it keeps (EIP-4444)
#: One attempt: only who signed the transaction knows what a second one is.
_SEND: Final = "eth_sendRawTransaction"
#: A query that can be made smaller.
_LOGS: Final = "eth_getLogs"
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


class NodeProvider(BaseProvider):
    """A provider whose every failure is a ``LedgerError``, which passes through web3 untouched.

    Parameters
    ----------
    retry_s : float
        For how long a request is tried again. 0: one attempt only.
    sleep, clock : callable
        Seconds to wait, and seconds since some start; exchanged in tests.
    """

    #: EIP-3668 lets a contract name URLs that its caller then fetches. Not from here.
    global_ccip_read_enabled = False

    def __init__(
        self,
        *,
        retry_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
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
                    and not (method == _SEND or (method == _LOGS and error.heavy))
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
            if method == _LOGS and failure.heavy:
                raise TooMuch(str(failure.error)) from failure.error
            if method == _SEND and isinstance(failure.error, NodeRefused):
                # the transaction was not looked at
                raise NodeUnreachable(f"{failure.error}.") from failure.error
            raise failure.error from failure.__cause__

    def request_many(self, method: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """What the node answers to ``method`` for each row of parameters; as ``request``."""
        return [self.request(method, row) for row in rows]

    def tries(self, budget_s: float | None = None) -> Iterator[float]:
        """Steps at which to ask once more for what is not there yet; see ``patience.tries``."""
        return tries(self.patience_s if budget_s is None else budget_s, self.sleep, self.clock)

    def close(self) -> None:
        """Let go of connections that are ours."""

    def make_request(self, method: Any, params: Any) -> Any:
        """web3's form of :meth:`request`."""
        return {"jsonrpc": "2.0", "id": 0, "result": self.request(method, params)}


class UserProvider(NodeProvider):
    """Requests through another ``Web3``: its middlewares, its provider, its own retries.

    Parameters
    ----------
    web3 : Web3
        Stays its owner's: it is not closed here.
    retry_s, sleep, clock
        As ``NodeProvider``'s, for what the node refuses and may answer later.
    """

    def __init__(self, web3: Web3, **patience: Any) -> None:
        super().__init__(**patience)
        self._web3 = web3

    def attempt(self, method: str, params: Any) -> Any:
        """As ``NodeProvider.attempt``.

        Raises
        ------
        NodeRefused, NodeUnreachable, ReplyMalformed
        """
        if method == "eth_estimateGas" and isinstance(self._web3.provider, EthereumTesterProvider):
            params = params[:1]  # it reads no block there, and there is none but its newest
        try:
            return to_json(self._web3.manager.request_blocking(method, params))  # type: ignore[arg-type]
        except LedgerError:
            raise
        except Web3RPCError as error:
            said: Any = (error.rpc_response or {}).get("error")
            if not isinstance(said, dict):
                said = {"message": said or error.message}
            raise refused(method, said) from error
        except ContractLogicError as error:
            data = error.data if isinstance(error.data, str) else ""
            raise NodeRefused(method, _REVERTED, str(error.message), data) from error
        except requests.Timeout as error:
            unreachable = NodeUnreachable(f"no answer in time by {self._web3.provider!r}")
            if method == _LOGS:
                raise PassingError(unreachable, heavy=True) from error
            raise unreachable from error
        except (requests.RequestException, ProviderConnectionError, OSError) as error:
            raise NodeUnreachable(f"no Ethereum node answers by {self._web3.provider!r}") from error
        except Exception as error:  # whatever a provider of somebody else's raises
            if "execution reverted" in str(error):  # such as eth-tester's
                raise NodeRefused(method, _REVERTED, str(error)) from error
            raise ReplyMalformed(
                f"{method}: the Web3 that was given says {error!r:.200}"
            ) from error


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
    if error.code in (_REVERTED, PRUNED) or "revert" in words or "pruned" in words:
        return error
    if _RATE.search(words) or error.code == 429:
        return PassingError(error)
    if error.code == _LIMIT_EXCEEDED or _SLOW.search(words):
        return PassingError(error, heavy=True)
    return PassingError(error) if _PASSING.search(words) else error
