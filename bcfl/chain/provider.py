"""web3's way to a node: over HTTP as ``json_rpc`` does it, or a ``Web3`` of the user's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import requests
from web3 import Web3
from web3.exceptions import ContractLogicError, ProviderConnectionError, Web3RPCError
from web3.providers import BaseProvider

from bcfl.chain.wire import to_json
from bcfl.core.errors import LedgerError, NodeRefused, NodeUnreachable, ReplyMalformed

__all__ = ["NodeProvider", "UserProvider", "refusal"]

_REVERTED: Final = 3  # the code that geth gives a revert


class NodeProvider(BaseProvider):
    """A provider whose every failure is a ``LedgerError``, which passes through web3 untouched."""

    #: EIP-3668 lets a contract name URLs that its caller then fetches. Not from here.
    global_ccip_read_enabled = False

    @abstractmethod
    def request(self, method: str, params: Any) -> Any:
        """The result of a JSON-RPC method, as JSON has it."""

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
    """

    def __init__(self, web3: Web3) -> None:
        super().__init__()
        self._web3 = web3

    def request(self, method: str, params: Any) -> Any:
        """As ``NodeProvider.request``.

        Raises
        ------
        NodeRefused, NodeUnreachable, ReplyMalformed
        """
        try:
            return to_json(self._web3.manager.request_blocking(method, params))  # type: ignore[arg-type]
        except LedgerError:
            raise
        except Web3RPCError as error:
            said: Any = (error.rpc_response or {}).get("error")
            if not isinstance(said, dict):
                said = {"message": said or error.message}
            raise refusal(method, said) from error
        except ContractLogicError as error:
            data = error.data if isinstance(error.data, str) else ""
            raise NodeRefused(method, _REVERTED, str(error.message), data) from error
        except (requests.RequestException, ProviderConnectionError, OSError) as error:
            raise NodeUnreachable(f"no Ethereum node answers by {self._web3.provider!r}") from error
        except Exception as error:  # whatever a provider of somebody else's raises
            if "execution reverted" in str(error):  # such as eth-tester's
                raise NodeRefused(method, _REVERTED, str(error)) from error
            raise ReplyMalformed(
                f"{method}: the Web3 that was given says {error!r:.200}"
            ) from error


def refusal(method: str, said: Mapping[str, Any]) -> NodeRefused:
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
