"""A ``Web3`` of the user's own as the way to a node. web3 takes a second to import: only here."""

from __future__ import annotations

from typing import Any

import requests
from web3 import Web3
from web3.exceptions import ContractLogicError, ProviderConnectionError, Web3RPCError
from web3.providers.eth_tester import EthereumTesterProvider

from bcfl.chain.provider import LOGS, REVERTED, NodeProvider, PassingError, refused
from bcfl.chain.wire import to_json
from bcfl.core.errors import LedgerError, NodeRefused, NodeUnreachable, ReplyMalformed


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
            raise NodeRefused(method, REVERTED, str(error.message), data) from error
        except requests.Timeout as error:
            unreachable = NodeUnreachable(f"no answer in time by {self._web3.provider!r}")
            if method == LOGS:
                raise PassingError(unreachable, heavy=True) from error
            raise unreachable from error
        except (requests.RequestException, ProviderConnectionError, OSError) as error:
            raise NodeUnreachable(f"no Ethereum node answers by {self._web3.provider!r}") from error
        except Exception as error:  # whatever a provider of somebody else's raises
            if "execution reverted" in str(error):  # such as eth-tester's
                raise NodeRefused(method, REVERTED, str(error)) from error
            raise ReplyMalformed(
                f"{method}: the Web3 that was given says {error!r:.200}"
            ) from error
