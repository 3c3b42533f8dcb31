"""A node, a SuperLink, SuperNodes and their signers as processes; three rounds; their audit.

On several hosts one types the same commands, with other addresses: ``_start_superlink``,
``_start_signer``, ``_start_supernode`` and ``_run_app`` hold them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import requests

from bcfl.audit import audit_command
from bcfl.chain.anvil import AnvilChain
from bcfl.cluster.processes import Programs, free_port
from bcfl.core.errors import ConfigurationError, ProgramFailed
from bcfl.flower.identity import KEY_FILE, MOST_STAKE_WEI, RPC_URL, SIGNER
from bcfl.keys.accounts import PASSWORD_VARIABLE, Account

OWN_APP = Path(__file__).parent / "app"
_ETHER_WEI = 10**18
_SUPERLINK = "cluster"  # the connection's name in Flower's config.toml


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How large it is, and how patient.

    Parameters
    ----------
    nodes : int
        SuperNodes, at least 2.
    rounds : int
    timeout_s : float
        For all rounds together.
    transactions : {"relayed", "direct"}
        Direct: each SuperNode sends its own, from an account that has ether.
    stake_wei : int
        Above 0: each SuperNode becomes a member by its own deposit of so much. Its key is then
        in a file that it reads: a signer deposits only where its owner has named the contract,
        and here the run deploys it.
    app : Path
        The folder of the Flower app.
    """

    nodes: int = 4
    rounds: int = 3
    timeout_s: float = 900.0
    transactions: str = "relayed"
    stake_wei: int = 0
    app: Path = OWN_APP

    @property
    def signers(self) -> bool:
        """Whether each member's key is in a process of its own."""
        return self.stake_wei == 0

    @property
    def ether_wei(self) -> int:
        """What each SuperNode's account needs to have."""
        pays = self.transactions == "direct" or self.stake_wei
        return self.stake_wei + _ETHER_WEI if pays else 0


def run_cluster(folder: Path, settings: ClusterSettings) -> int:
    """Run it in ``folder``; every process has ended when this returns, however it returns.

    Parameters
    ----------
    folder : Path
        Gets ``run/`` (the task's folder), ``keys/``, ``logs/``, and Flower's own files.
    settings : ClusterSettings

    Returns
    -------
    int
        The audit's exit status: 0, every round holds.

    Raises
    ------
    ConfigurationError
        There is a cluster's folder already.
    LedgerError
        There is no anvil and no npm to install it.
    ProgramFailed
        One of the processes ended, or the rounds took too long.
    """
    folder = folder.absolute()
    if (folder / "keys").exists():
        raise ConfigurationError(f"{folder} holds a cluster's files already; name another folder")
    # The server's is of no use to a member, nor a member's to the server.
    servers, members = ({PASSWORD_VARIABLE: secrets.token_urlsafe()} for _ in range(2))
    with (
        AnvilChain(seed=secrets.randbits(62)) as chain,
        tempfile.TemporaryDirectory(prefix="bcfl-signers-") as sockets,
        Programs(folder / "logs", _environment(folder)) as programs,
    ):
        _say(f"node: anvil at {chain.url}, pid of its own")
        (folder / "keys").mkdir(parents=True)
        coordinator = folder / "keys" / "coordinator.json"
        chain.coordinator.create_key_file(coordinator, servers[PASSWORD_VARIABLE])
        port = _start_superlink(programs, servers)
        for index in range(settings.nodes):
            key = folder / "keys" / f"member-{index}.json"
            _make_key(key, settings, chain, members[PASSWORD_VARIABLE])
            config = {KEY_FILE: f'"{key}"', RPC_URL: f'"{chain.url}"'}
            if settings.signers:
                socket = Path(sockets, f"{index}.sock")
                _start_signer(programs, index, settings, chain, key, socket, members)
                config = {SIGNER: f'"unix:{socket}"'}
            _start_supernode(
                programs, index, settings, port, config, {} if settings.signers else members
            )
        if settings.signers:
            programs.wait_until(
                lambda: len(list(Path(sockets).glob("*.sock"))) == settings.nodes,
                "the signers",
                120.0,
            )
        _run_app(programs, folder, settings, port, chain.url, coordinator)
        _expect_closed(programs, folder)
        programs.stop()
        _say("every Flower process has ended; auditing against the node")
        return audit_command(folder / "run", rpc_url=chain.url)


def _make_key(path: Path, settings: ClusterSettings, chain: AnvilChain, password: str) -> None:
    """A member's key file: on several hosts, each makes its own.

    Who is to pay for anything gets ether first, as its owner would see to on a real chain.
    """
    account = Account(secrets.token_bytes(32))
    account.create_key_file(path, password)
    if settings.ether_wei:
        chain.fund(account.address, settings.ether_wei)


def _environment(folder: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("BCFL_KEY")},
        # SuperLink and SuperNode find each other's helpers by name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _start_superlink(programs: Programs, password: dict[str, str]) -> int:
    """The ServerApp runs below it, and opens the coordinator's key file."""
    port = free_port()
    programs.start(
        "superlink",
        [
            "flower-superlink",
            "--insecure",
            "--host=127.0.0.1",
            f"--port={port}",
            "--disable-runtime-dependency-installation",
        ],
        **password,
    )
    programs.wait_until(lambda: _answers(port), "the SuperLink", 120.0)
    _say(f"SuperLink: 127.0.0.1:{port}")
    return port


def _start_signer(
    programs: Programs,
    index: int,
    settings: ClusterSettings,
    chain: AnvilChain,
    key: Path,
    socket: Path,
    password: dict[str, str],
) -> None:
    with chain.connect() as connection:
        chain_id = connection.chain_id
    command = ["bcfl", "signer", f"--key={key}", f"--chain-id={chain_id}", f"--rpc={chain.url}"]
    command.append(f"--listen={socket}")
    if settings.transactions == "direct":
        command.append("--allow-direct")
    programs.start(f"signer-{index}", command, **password)
    _say(f"signer {index}: key file {key.name}")


def _start_supernode(
    programs: Programs,
    index: int,
    settings: ClusterSettings,
    superlink: int,
    config: dict[str, str],
    password: dict[str, str],
) -> None:
    config |= {"partition-id": str(index), "num-partitions": str(settings.nodes)}
    if settings.stake_wei:
        config[MOST_STAKE_WEI] = str(settings.stake_wei)
    programs.start(
        f"supernode-{index}",
        [
            "flower-supernode",
            "--insecure",
            f"--superlink=127.0.0.1:{superlink}",
            f"--port={free_port()}",
            "--node-config",
            " ".join(f"{name}={value}" for name, value in config.items()),
        ],
        **password,
    )
    _say(f"SuperNode {index}: {next(iter(config))}")


def _run_app(
    programs: Programs,
    folder: Path,
    settings: ClusterSettings,
    superlink: int,
    rpc_url: str,
    coordinator: Path,
) -> None:
    home = folder / "flwr"
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "{_SUPERLINK}"\n\n[superlink.{_SUPERLINK}]\n'
        f'address = "127.0.0.1:{superlink}"\ninsecure = true\n'
    )
    app = folder / "cluster-app"
    shutil.copytree(settings.app, app, ignore=shutil.ignore_patterns("__pycache__"))
    config = {
        "num-server-rounds": str(settings.rounds),
        "num-nodes": str(settings.nodes),
        "rpc-url": f'"{rpc_url}"',
        "key-file": f'"{coordinator}"',
        "run-dir": f'"{folder / "run"}"',
        "transactions": f'"{settings.transactions}"',
        "stake-wei": str(settings.stake_wei),
    }
    override = " ".join(f"{name}={value}" for name, value in config.items())
    command = ["flwr", "run", str(app), _SUPERLINK, "--stream", "--run-config", override]
    _say(f"flwr run: {settings.rounds} round{'s' * (settings.rounds != 1)}")
    programs.start("flwr-run", command)
    programs.wait("flwr-run", settings.timeout_s)


def _expect_closed(programs: Programs, folder: Path) -> None:
    """``flwr run --stream`` ends well whatever became of the run."""
    if not (folder / "run" / "result.json").exists():
        words = "\n".join(programs.log("flwr-run").splitlines()[-30:])
        raise ProgramFailed(f"the run came to nothing:\n{words}")


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=1.0).ok
    except requests.RequestException:
        return False


def _say(words: str) -> None:
    print(words, flush=True)
