"""The default chain: py-evm in this process, a journal on disk, JSON-RPC on loopback.

Nothing to install and nothing to start; other processes read it as they would read any node.
Its time is virtual and its blocks are deterministic, so that the same seed and the same calls
give the same transaction numbers. Every block is on disk before anybody can see it: after
``kill -9`` the same journal gives the same chain again, hash by hash, and an audit can execute
every signed transaction once more.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bcfl.chain.chain import Chain
from bcfl.chain.embedded.block import Genesis, Mined
from bcfl.chain.embedded.journal import begin, block_entry, genesis_entry, read_entries, rebuild
from bcfl.chain.embedded.rpc import EmbeddedRpc, refusal
from bcfl.chain.json_rpc import SERVED_HERE
from bcfl.core.errors import AccountError, JournalDamaged, LedgerError
from bcfl.files import Journal
from bcfl.keys.accounts import Account, derive_account

if TYPE_CHECKING:
    from bcfl.chain.embedded.evm import Evm
    from bcfl.chain.embedded.loopback_server import LoopbackServer

_RICHES_WEI: Final = 10**24


class EmbeddedChain(Chain):
    """A chain of our own, for one run. FOR SIMULATIONS ONLY: its accounts follow from the seed.

    Parameters
    ----------
    journal : Path, optional
        Where blocks are kept (see ``journal``). A journal that exists is replayed and
        gone on with; a torn last line, which nobody was promised, is cut off. Left out: the
        chain is gone with its process.
    seed : int
        Which coordinator, and so which genesis.
    port : int
        Of the JSON-RPC server on 127.0.0.1; 0: the system chooses one, which a restart keeps.

    Raises
    ------
    JournalDamaged
        From ``start``: the journal does not replay to the blocks that it claims.
    LedgerError
        From ``start``: another process has the journal open.
    """

    def __init__(self, journal: Path | None = None, seed: int = 0, port: int = 0) -> None:
        self._seed = seed
        self._path = journal
        self._port = port
        self._read_only = False
        self._lock = threading.Lock()
        self._held: int | None = None  # the file descriptor that locks the journal
        self._journal: Journal | None = None
        self._evm: Evm | None = None
        self._rpc: EmbeddedRpc | None = None
        self._server: LoopbackServer | None = None
        self._broken: LedgerError | None = None

    @classmethod
    def replay(cls, journal: Path) -> Self:
        """The chain of a run that is over, to be read: it takes no transactions.

        The file is left as it is. Raises JournalDamaged.
        """
        chain = cls()
        chain._read_only = True
        _, chain._evm = rebuild(read_entries(journal), journal)
        return chain

    @property
    def url(self) -> str:
        """Where it answers, while it is started."""
        if self._server is None:
            raise LedgerError("the embedded chain is not running: start it, or use `with`")
        return self._server.url

    @property
    def coordinator(self) -> Account:
        """The account that deploys tasks here; rich from the first block on."""
        return self._account("coordinator")

    @property
    def time_is_virtual(self) -> bool:
        """True: blocks bear whatever time they are told."""
        return True

    def start(self) -> None:
        """Replay the journal, or begin one, and answer at ``url``."""
        if self._server is not None:
            return
        # aiohttp: half a second, which whoever only names a chain is spared
        from bcfl.chain.embedded.loopback_server import LoopbackServer  # noqa: PLC0415

        try:
            if self._path is not None:
                self._hold(self._path)
                self._open_journal(self._path)
            elif self._evm is None:
                self._evm = begin(self._genesis())
            self._broken = None
            self._rpc = EmbeddedRpc(self._running(), self._mine)
            self._server = LoopbackServer(self._answer, self._port)
        except OSError as error:
            self.stop()
            raise LedgerError(f"cannot start the embedded chain: {error}") from error
        except BaseException:
            self.stop()
            raise
        self._port = self._server.port
        SERVED_HERE[self._server.url] = self._answer

    def stop(self) -> None:
        """Stop answering and let go of the journal."""
        if self._server is not None:
            SERVED_HERE.pop(self._server.url, None)
            self._server.close()
            self._server = None
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def now(self) -> int:
        """The newest block's timestamp, seconds."""
        return self._running().head.timestamp

    def travel(self, timestamp: int) -> None:
        """Mine an empty block at that time, which must be later than ``now``."""
        with self._lock:
            self._mine(None, timestamp)

    def wait_until(self, timestamp: int) -> None:
        """Let virtual time pass; see ``Chain.wait_until``."""
        with self._lock:
            if self._running().head.timestamp <= timestamp:
                self._mine(None, timestamp + 1)

    @property
    def _treasury(self) -> Account:
        # not the coordinator: its nonces belong to the run
        return self._account("faucet")

    def _account(self, role: str) -> Account:
        if self._read_only:
            raise AccountError(f"a replayed chain has no {role}: it can only be read")
        return derive_account(self._seed, role, 0)

    def _genesis(self) -> Genesis:
        return Genesis({self._account(x).address: _RICHES_WEI for x in ("coordinator", "faucet")})

    def _running(self) -> Evm:
        if self._evm is None:
            raise LedgerError("the embedded chain is not running: start it, or use `with`")
        return self._evm

    def _answer(self, body: bytes) -> bytes:
        with self._lock:
            assert self._rpc is not None
            return refusal(str(self._broken)) if self._broken else self._rpc.answer(body)

    def _mine(self, raw: bytes | None, timestamp: int | None = None) -> Mined:
        """Mine a block and put it on disk before the lock, and with it the block, is let go."""
        if self._read_only:
            raise LedgerError("a replayed chain takes no transactions")
        if self._broken is not None:
            raise self._broken
        mined = self._running().mine(raw, timestamp)
        if self._journal is not None:
            try:
                self._journal.append(block_entry(mined, raw))
            except OSError as error:
                # the chain in memory is ahead of the one on disk: nobody may see it any more
                self._broken = LedgerError(
                    f"cannot write the chain's journal {self._path}: {error.strerror}; "
                    "make room, then resume"
                )
                raise self._broken from error
        return mined

    def _hold(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._held = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(
                f"the journal {path} is open in another process: is the run still going on?"
            ) from None

    def _open_journal(self, path: Path) -> None:
        expected = self._genesis()
        entries = read_entries(path)
        self._journal = Journal(path)
        if not entries:
            self._evm = begin(expected)
            self._journal.append(genesis_entry(expected, self._evm))
            return
        genesis, self._evm = rebuild(entries, path)
        if genesis != expected:
            raise JournalDamaged(
                f"{path}, line 1: expected the genesis of seed {self._seed}, with "
                f"{', '.join(expected.balances)}; found {', '.join(genesis.balances)}"
            )
