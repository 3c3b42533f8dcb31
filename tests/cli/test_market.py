"""``bcfl market``, as a person types it; while a program waits, the others take their turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.cli import market_programs as programs
from bcfl.cli.main import app
from bcfl.cli.samples import load_samples
from bcfl.keys.accounts import Account
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.fusion.fused_arrays import load_fused
from bcfl.market.roles.access import Session
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.run_role import run_role
from bcfl.market.roles.turn import Role
from bcfl.market.roles.verifier import Verifier
from bcfl.store.local import LocalStore

pytestmark = pytest.mark.usefixtures("fused_once")

PASSWORD = "of no use to anybody"
ETHER = 10**18


class Shell:
    """A person's shell: the commands share a node, a market, a store; each has its own key."""

    def __init__(self, chain: EmbeddedChain, folder: Path) -> None:
        self.chain = chain
        self.folder = folder
        self.idle = 0
        self.others: list[Role] = []
        self.environment = {
            "BCFL_RPC": chain.url,
            "BCFL_STORE": str(folder / "blobs"),
            "BCFL_KEY_PASSWORD": PASSWORD,
        }

    def run(self, *words: str, who: str = "") -> Result:
        """Run a command, as somebody."""
        key = {"BCFL_KEY_FILE": str(self.folder / f"{who}.json")} if who else {}
        return CliRunner().invoke(app, [*words], env=self.environment | key)

    def person(self, name: str) -> str:
        """Make a key file, and somebody rich."""
        result = self.run("key", str(self.folder / f"{name}.json"))
        assert result.exit_code == 0, result.output
        self.chain.fund(result.output.strip(), ETHER)
        return result.output.strip()

    def account(self, name: str) -> Account:
        return Account.from_key_file(self.folder / f"{name}.json", PASSWORD)

    def verifier(self, name: str, address: str) -> None:
        """Somebody who verifies whenever another program waits."""
        self.person(name)
        account = self.account(name)
        connection = self.chain.connect(account)
        ledger = MarketLedger.attach(connection, address, self.chain.wait_until)
        store = LocalStore(self.folder / "blobs")
        caps = ETHER, ETHER
        session = Session(self.chain, ledger, store, account, self.folder / name, *caps)
        self.others.append(Verifier(session, None))

    def initiator(self, address: str) -> None:
        """Whoever launched the task grants whenever another program waits."""
        account = self.account("initiator")
        ledger = MarketLedger.attach(self.chain.connect(account), address, self.chain.wait_until)
        store = LocalStore(self.folder / "blobs")
        session = Session(self.chain, ledger, store, account, self.folder / "initiator")
        self.others.append(Initiator(session, 1))

    def now(self) -> int:
        with self.chain.connect() as connection:
            return connection.now()

    def wait(self, seconds: float) -> None:
        """All others take a turn; where nobody has anything to do, a block passes."""
        assert seconds > 0
        actions = [action for other in self.others for action in other.turn().actions]
        self.idle = 0 if actions else self.idle + 1
        assert self.idle < 9, "everybody waits for ever"
        if not actions:
            self.chain.wait_until(self.now())


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with EmbeddedChain() as chain:
        shell = Shell(chain, tmp_path)
        monkeypatch.setattr(
            programs, "run_role", partial(run_role, pause=shell.wait, clock=lambda: 0.0)
        )
        monkeypatch.chdir(tmp_path)
        yield shell


def opened(shell: Shell) -> str:
    """A market, example data in ``data/``, and three who verify."""
    shell.person("initiator")
    result = shell.run("market", "open", "--draw-delay", "2", who="initiator")
    assert result.exit_code == 0, result.output
    address = result.output.split()[-1]
    shell.environment["BCFL_MARKET"] = address
    for name in ("ann", "ben", "cid"):
        shell.verifier(name, address)
    result = shell.run("market", "data", "--out", "data", "--parts", "2")
    assert result.exit_code == 0, result.output
    return address


def launched(shell: Shell, *more: str) -> Result:
    words = ("market", "launch", "--verification", "data/verification.npz", "--seats", "3")
    words = (*words, "--quorum", "2", "--submissions", "2", "--no-stay", *more)
    result = shell.run(*words, who="initiator")
    for other in shell.others:
        other.turn()  # the verifiers enter
    return result


def test_two_models_are_asked_for_sold_and_fused(shell: Shell) -> None:
    address = opened(shell)
    result = launched(shell, "--recommend", "mlp")
    assert "launched task 1" in result.output, result.output
    assert "asks for just this already" in launched(shell, "--recommend", "mlp").output
    shell.initiator(address)
    for index, name in enumerate(("dora", "emil")):
        shell.person(name)
        part = ("--data", f"data/part-{index}.npz", "--epochs", "8", "--max-stake", "0.05")
        result = shell.run("market", "contribute", "--task", "1", *part, who=name)
        assert result.exit_code == 0, result.output
        assert result.output.splitlines()[-2:] == ["withdrew 0.15 ether", "sold, for 0.1 ether"]
    again = shell.run("market", "contribute", "--task", "1", *part, who=name)
    assert again.output.splitlines()[-1] == "sold, for 0.1 ether"  # gone on with, not sold twice
    assert "was submitted to task 1 before" in again.output
    assert "training" not in again.output
    status = json.loads(shell.run("market", "status", "--json").output)
    assert [entry["phase"] for entry in status["submissions"]] == ["paid", "paid"]
    assert len(status["verifiers"]) == len(status["tasks"][0]["pool"]) == 3
    assert status["tasks"][0]["paid"] == 2
    text = shell.run("market", "status", "--task", "1").output
    assert "2 of 2" in text
    assert text.count(" paid") == 2
    result = shell.run("market", "collect", "--task", "1", who="initiator")
    assert "2 models fused into fused.safetensors" in result.output, result.output
    samples, labels = load_samples(Path("data/verification.npz"))
    fused = load_fused(Path("fused.safetensors"))
    right = fused.logits(samples).argmax(1) == labels
    assert right.mean() > 0.9
    # whoever launched it leaves what an audit begins with
    (folder,) = {path.parent for path in Path("bcfl-market").glob("*/market.json")}
    words = ("audit", str(folder), "--rpc", shell.chain.url, "--blobs", str(shell.folder / "blobs"))
    result = shell.run(*words)
    assert result.exit_code == 0, result.output
    assert "HOLDS: 2 submissions, 0 of 6 reports measured again, 2 of 2 fused" in result.output


def test_verify_enters_judges_until_the_task_is_over_and_leaves(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(shell)
    launched(shell)
    shell.person("fred")
    verify = ("market", "verify", "--task", "1", "--max-bond", "0.1")
    result = shell.run(*verify, "--store", str(shell.folder / "elsewhere"), who="fred")
    assert (result.exit_code, "is this the folder" in result.stderr) == (1, True)
    before = shell.chain.connect().balance(shell.account("fred").address)
    monkeypatch.setattr(
        programs,
        "run_role",
        partial(
            run_role,
            pause=lambda seconds: shell.chain.wait_until(shell.now() + 2 * 86_400),
            clock=lambda: 0.0,
        ),
    )
    result = shell.run(*verify, who="fred")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "entered the pool of task 1, with a bond of 0.1 ether",
        "left the pool of task 1; bond and fees are paid out",
    ]
    after = shell.chain.connect().balance(shell.account("fred").address)
    assert before - after < ETHER // 1000  # its gas, and not its bond
    assert "task 1 is closed" in shell.run(*verify, who="fred").stderr
    result = shell.run("market", "verify", "--task", "1", "--leave", who="ann")
    assert result.output.startswith("left the pool of task 1")
    result = shell.run("market", "collect", "--task", "1", who="initiator")
    assert "collected what was left of the deposit" in result.output
    assert "no model has been bought yet" in result.output


#: What somebody types who allows too little, and some of what it says.
NOT_ALLOWED: list[tuple[tuple[str, ...], str]] = [
    (("verify",), "a bond of 0.1 ether; at most 0 ether are allowed here: allow more "
     "(--max-bond"),
    (("verify", "--max-bond", "0.0999"), "at most 0.0999 ether are allowed"),
    (("contribute", "--data", "data/part-0.npz"), "a stake of 0.05 ether; at most "
     "0 ether are allowed here: allow more (--max-stake"),
    (("contribute", "--data", "data/part-0.npz", "--max-stake", "0.0499"), "at most"),
]  # fmt: skip


def test_nothing_is_deposited_that_was_not_allowed(shell: Shell) -> None:
    """A stake or a bond is the initiator's to demand, and its payer's to cap."""
    opened(shell)
    launched(shell, "--recommend", "mlp")
    shell.person("gina")
    before = shell.chain.connect().balance(shell.account("gina").address)
    for words, said in NOT_ALLOWED:
        result = shell.run("market", *words, "--task", "1", who="gina")
        assert (result.exit_code, said in result.stderr) == (1, True), result.output
        assert "training" not in result.output
        assert shell.chain.connect().balance(shell.account("gina").address) == before


def npy(shell: Shell) -> str:
    """An array that is in no archive."""
    path = shell.folder / "samples.npy"
    np.save(path, np.zeros(3))
    return str(path)


def odd(shell: Shell) -> str:
    """Labels that are article numbers."""
    path = shell.folder / "odd.npz"
    np.savez(path, samples=np.zeros((2, 3)), labels=np.array([0, 10**12]))
    return str(path)


Mistake = Callable[[Shell], Result]
#: What somebody types, the exit status, and some of what it says.
MISTAKES: list[tuple[Mistake, int, str]] = [
    (lambda s: s.run("market", "status", "--rpc", "http://127.0.0.1:1"), 1, "no Ethereum node"),
    (lambda s: s.run("market", "collect", "--task", "1"), 2, "give --key-file"),
    (lambda s: s.run("market", "collect", "--task", "7", who="initiator"), 2, "found 7"),
    (lambda s: s.run("market", "status", "--task", "7"), 2, "this market has 0 tasks"),
    (lambda s: s.run("market", "status", "--market", "0x12"), 2, "expected an address"),
    (lambda s: s.run("market", "status", "--market", "0x" + "11" * 20), 1, "no contract"),
    (lambda s: s.run("key", "initiator.json"), 2, "never overwritten"),
    (lambda s: launched(s, "--reward", "a lot"), 2, "an amount of ether such as 0.01"),
    (lambda s: launched(s, "--reward", "0"), 2, "reward lies in"),
    (lambda s: launched(s, "--quorum", "4"), 2, "quorum lies in [1, 3]"),
    (lambda s: launched(s, "--public-share", "1"), 2, "fusion_share"),
    (lambda s: launched(s, "--measuring-sets", "99"), 2, "measuring sets: expected 1 to"),
    (lambda s: launched(s, "--stake", "0.0001"), 1, "the stake is too low"),
    (lambda s: launched(s, "--recommend", "vgg"), 2, "one of cnn, deep_cnn, mlp"),
    (lambda s: launched(s, "--verification", "nothing.npz"), 2, "expected a .npz file"),
    (lambda s: launched(s, "--reward", "5000"), 2, "ether"),
    (lambda s: launched(s, "--reward", "1e999999999999999999"), 2, "an amount of ether"),
    (lambda s: launched(s, "--reward", "1e99999"), 2, "an amount of ether"),
    (lambda s: launched(s, "--least-gain", "nan"), 2, "--least-gain is a finite number"),
    (lambda s: launched(s, "--open-hours", "inf"), 2, "--open-hours is a finite number"),
    (lambda s: launched(s, "--verification", npy(s)), 2, "expected a .npz file"),
    (lambda s: launched(s, "--verification", odd(s)), 2, "2 to 1024 classes apart"),
    (lambda s: s.run("market", "data", "--out", "initiator.json"), 2, "initiator.json"),
    (lambda s: s.run("market", "data", "--out", "x", "--dataset", "cifar"), 2, "one of digits"),
]


def test_a_mistake_is_one_line_that_says_what_was_expected(shell: Shell) -> None:
    shell.person("initiator")
    address = shell.run("market", "open", "--draw-delay", "2", who="initiator").output.split()[-1]
    shell.environment["BCFL_MARKET"] = address
    shell.run("market", "data", "--out", "data", "--parts", "2")
    for mistake, status, said in MISTAKES:
        result = mistake(shell)
        assert result.exit_code == status, (said, result.output)
        assert result.stderr.startswith("bcfl: ")
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert PASSWORD not in result.output
