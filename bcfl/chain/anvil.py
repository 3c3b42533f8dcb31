"""A real node, anvil, started and stopped with the run."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bcfl.chain.anvil_program import AnvilProcess, default_cache, find_anvil
from bcfl.chain.chain import Chain, wait_for_time
from bcfl.chain.connection import Connection
from bcfl.core.errors import LedgerError, NodeUnreachable
from bcfl.files import write_atomically
from bcfl.keys.accounts import Account, derive_account
from bcfl.keys.signer import Wallet

_RICHES_WEI: Final = 10**24
_GAS_LIMIT: Final = 60_000_000
_START_TRIES: Final = 3
_START_TIMEOUT_S: Final = 30.0
_START_POLL_S: Final = 0.05


class AnvilChain(Chain):
    """A real node, started and stopped with the run. FOR SIMULATIONS ONLY: see ``seed``.

    Parameters
    ----------
    state : Path, optional
        A file to keep the chain in, and to start from if it is there. It is written anew
        whenever a transaction of this process's was mined, before that is said, so that
        ``kill -9`` of whomever takes back nothing that the run has gone on from. Left out: the
        chain is gone with the node.
    seed : int
        Which development accounts are rich.
    cache : Path, optional
        Where npm's anvil is, or is installed; by default ``~/.cache/bcfl/anvil``.
    sleep, clock : callable
        Seconds to wait, and the seconds since 1970; exchanged in tests.

    Raises
    ------
    LedgerError
        From ``start``: there is no anvil and no npm, or it does not start.
    """

    def __init__(
        self,
        state: Path | None = None,
        seed: int = 0,
        *,
        cache: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._cache = cache or default_cache()
        self._coordinator = derive_account(seed, "coordinator", 0)
        self._faucet = derive_account(seed, "faucet", 0)
        self._sleep = sleep
        self._clock = clock
        self._process: AnvilProcess | None = None
        self._port: int | None = None
        self._keeping = threading.Lock()

    @property
    def url(self) -> str:
        """Where it answers, while it is started; the same after a restart."""
        if self._process is None:
            raise LedgerError("anvil is not running: start it, or use `with`")
        return f"http://127.0.0.1:{self._port}"

    @property
    def coordinator(self) -> Account:
        """The account that deploys tasks here."""
        return self._coordinator

    def start(self) -> None:
        """Start the node and wait until it answers."""
        if self._process is not None:
            return
        program = find_anvil(self._cache)
        for _ in range(_START_TRIES):
            port = self._port or _free_port()
            self._process = AnvilProcess(program, self._arguments(port))
            self._port = port
            if self._answers():
                break
            words = self._process.last_words()
            self.stop()
            self._port = None  # somebody else may have taken it in the meantime
        else:
            raise LedgerError(f"{program} does not start: {words}")
        if self._state is not None and self._state.exists():
            self._mend_hashes()
        self._make_rich()

    def stop(self) -> None:
        """Stop the node; with ``state``, its chain is on disk then."""
        if self._process is not None:
            if self._state is not None and self._process.running:
                with suppress(LedgerError):  # it is ending by itself; the state is on disk
                    self._keep(retry_s=0.0)
            self._process.stop()
            self._process = None

    def connect(self, signer: Wallet | None = None, **options: Any) -> Connection:
        """As ``Chain.connect``; what is sent is on disk once it is mined."""
        if self._state is not None:
            options = {"mined": self._keep} | options
        return super().connect(signer, **options)

    def wait_until(self, timestamp: int) -> None:
        """Wait in real time; see ``Chain.wait_until``."""
        with self.connect() as connection:
            wait_for_time(
                connection.now,
                timestamp,
                # without transactions anvil mines nothing
                nudge=lambda: connection.request("evm_mine"),
                grace_s=0.0,
                sleep=self._sleep,
                clock=self._clock,
            )

    @property
    def _treasury(self) -> Account:
        # not the coordinator: its nonces belong to the run
        return self._faucet

    def _arguments(self, port: int) -> list[str]:
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--silent"]
        # no accounts of the node's own: it would sign for anybody
        arguments += ["--accounts", "0", "--gas-limit", str(_GAS_LIMIT)]
        if self._state is not None:
            self._state.parent.mkdir(parents=True, exist_ok=True)
            if self._state.exists():
                arguments += ["--load-state", str(self._state)]
        return arguments

    def _keep(self, **options: Any) -> None:
        """Write the chain to disk, whole or not at all: anvil's own way to do so can be torn."""
        assert self._state is not None
        with self._keeping, Connection(self.url, **options) as connection:
            state = str(connection.request("anvil_dumpState"))
            write_atomically(self._state, gzip.decompress(bytes.fromhex(state[2:])))

    def _answers(self) -> bool:
        assert self._process is not None
        with self.connect(retry_s=0.0) as connection:
            for _ in range(int(_START_TIMEOUT_S / _START_POLL_S)):
                if not self._process.running:
                    return False
                try:
                    return connection.chain_id > 0
                except NodeUnreachable:
                    time.sleep(_START_POLL_S)
        return False

    def _mend_hashes(self) -> None:
        """Let contracts see the hashes of the blocks that were loaded.

        anvil 1.7 forgets them and makes some up (foundry-rs/foundry#15167); it learns them anew
        when it takes a block back.
        """
        with self.connect() as connection:
            connection.request("evm_mine")
            connection.request("anvil_rollback", 1)

    def _make_rich(self) -> None:
        with self.connect() as connection:
            for account in (self._coordinator, self._faucet):
                if connection.balance(account.address) == 0:
                    connection.request("anvil_setBalance", account.address, hex(_RICHES_WEI))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
