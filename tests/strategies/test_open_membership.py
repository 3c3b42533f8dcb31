"""``membership="open"``: members join by their own deposit, leave, and can forfeit it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context
from typer.testing import CliRunner

from bcfl.audit import audit_command
from bcfl.audit.audit import audit_run
from bcfl.audit.findings import author
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.cli.stake import stake as stake_app
from bcfl.consensus.contract.events import Equivocated, MemberJoined, MemberLeft
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import ConfigurationError, ContractReverted, NobodyLeft
from bcfl.flower.grid import InProcessGrid
from bcfl.keys.accounts import Account, derive_account
from bcfl.strategies import PeerConsensus
from tests import toy
from tests.strategies.two_faced import TwoFaced

STAKE, ETHER = 10**16, 10**18
PASSWORD = "a member's own"


class Node:
    """A chain that outlives the strategy's use of it, as a real one does."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self.chain = chain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chain, name)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[EmbeddedChain]:
    (tmp_path / "run").mkdir()
    with EmbeddedChain(tmp_path / "run" / "chain.jsonl") as running:
        yield running


def play(
    tmp_path: Path, chain: EmbeddedChain, grid: InProcessGrid, rounds: int = 2, **options: Any
) -> tuple[PeerConsensus, list[RoundRecord]]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path / "run",
        chain=Node(chain),  # type: ignore[arg-type]
        on_round=records.append,
        membership="open",
        stake_wei=STAKE,
        min_available_nodes=3,
        fraction_evaluate=0.0,
        **options,
    )
    if isinstance(grid, TwoFaced):
        grid.strategy = strategy
    strategy.start(grid, toy.initial_arrays(), num_rounds=rounds)
    return strategy, records


def toy_grid(nodes: int = 3) -> InProcessGrid:
    return InProcessGrid(toy.client_app([peer_consensus_mod]), nodes)


def ledger_of(tmp_path: Path, chain: EmbeddedChain, account: Account | None = None) -> Ledger:
    contract = json.loads((tmp_path / "run" / "task.json").read_text())["contract"]
    return Ledger.attach(chain.connect(account), contract)


def member(index: int) -> Account:
    return derive_account(0, "member", index)


def balance(chain: EmbeddedChain, address: str) -> int:
    with chain.connect() as connection:
        return int(connection.request("eth_getBalance", address, "latest"), 16)


def test_every_member_joins_by_its_own_transaction_and_deposits(
    tmp_path: Path, chain: EmbeddedChain
) -> None:
    for index in range(3):
        chain.fund(member(index).address, ETHER)
    _, records = play(tmp_path, chain, toy_grid())
    assert all(record.committed == record.voted == (0, 1, 2) for record in records)
    ledger = ledger_of(tmp_path, chain)
    joined = [event for event in ledger.events() if isinstance(event, MemberJoined)]
    assert [event.address for event in joined] == [member(i).address for i in range(3)]
    with chain.connect() as connection:
        for event in joined:
            sent = connection.request("eth_getTransactionByHash", event.transaction)
            assert int(sent["value"], 16) == STAKE == ledger.stake
            assert sent["from"].lower() == event.address.lower()
    assert balance(chain, ledger.domain.contract) == 3 * STAKE
    chain.stop()
    assert audit_command(tmp_path / "run") == 0


def test_one_without_ether_is_told_so_and_the_run_goes_on_without_it(
    tmp_path: Path, chain: EmbeddedChain
) -> None:
    for index in (0, 2):
        chain.fund(member(index).address, ETHER)
    strategy, records = play(tmp_path, chain, toy_grid())
    poor = member(1).address
    assert strategy.refused.keys() == {poor}
    assert (
        f"the account {poor} cannot pay for join: it has 0 wei and needs up to"
        in (strategy.refused[poor])
    )
    assert all(record.committed == (0, 1) for record in records)
    assert ledger_of(tmp_path, chain).members() == (member(0).address, member(2).address)


def test_one_that_gets_ether_later_joins_between_rounds(
    tmp_path: Path, chain: EmbeddedChain
) -> None:
    for index in (0, 2):
        chain.fund(member(index).address, ETHER)

    def help_out(number: int, phase: str) -> None:
        if (number, phase) == (1, "close"):
            chain.fund(member(1).address, ETHER)

    _, records = play(tmp_path, chain, toy_grid(), on_phase=help_out)
    assert [record.committed for record in records] == [(0, 1), (0, 1, 2)]


def test_too_few_members_is_an_error_with_everybodys_reason(
    tmp_path: Path, chain: EmbeddedChain
) -> None:
    with pytest.raises(NobodyLeft, match=r"expected at least 2 members; found 0: .*cannot pay"):
        play(tmp_path, chain, toy_grid())


def with_key_files(tmp_path: Path, grid: InProcessGrid, **config: Any) -> list[Context]:
    contexts = list(grid.contexts.values())
    for index, context in enumerate(contexts):
        path = tmp_path / f"key-{index}.json"
        if not path.exists():
            member(index).create_key_file(path, PASSWORD)
        context.node_config.update({"bcfl-key-file": str(path), **config})
    return contexts


def test_nobody_deposits_more_than_its_owner_allows(
    tmp_path: Path, chain: EmbeddedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCFL_KEY_PASSWORD", PASSWORD)
    grid = toy_grid(4)
    contexts = with_key_files(tmp_path, grid, **{"bcfl-stake-wei": STAKE})
    contexts[2].node_config["bcfl-stake-wei"] = STAKE - 1
    del contexts[3].node_config["bcfl-stake-wei"]
    for index in range(4):
        chain.fund(member(index).address, ETHER)
    strategy, records = play(tmp_path, chain, grid, rounds=1)
    assert records[0].committed == (0, 1)
    assert f"allows up to {STAKE - 1} wei" in strategy.refused[member(2).address]
    assert (
        f"allows none; to join, start it with --node-config 'bcfl-stake-wei={STAKE}'"
        in (strategy.refused[member(3).address])
    )
    assert balance(chain, member(3).address) == ETHER


def test_a_development_key_deposits_nothing_on_a_chain_that_matters(
    tmp_path: Path, chain: EmbeddedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bcfl.flower.identity", "bcfl.consensus.member.enrolment"):
        monkeypatch.setattr(f"{module}.DEVELOPMENT_CHAINS", ())
    grid = toy_grid()
    for index, context in enumerate(grid.contexts.values()):
        context.node_config["bcfl-stake-wei"] = STAKE
        chain.fund(member(index).address, ETHER)
    with pytest.raises(NobodyLeft, match="a development key is refused on chain"):
        play(tmp_path, chain, grid)
    assert balance(chain, member(0).address) == ETHER


def test_a_member_leaves_by_a_command_and_fetches_its_stake(
    tmp_path: Path, chain: EmbeddedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCFL_KEY_PASSWORD", PASSWORD)
    grid = toy_grid()
    with_key_files(tmp_path, grid, **{"bcfl-stake-wei": STAKE})
    for index in range(3):
        chain.fund(member(index).address, ETHER)
    said: list[str] = []

    def command(what: str) -> None:
        contract = ledger_of(tmp_path, chain).domain.contract
        key = str(tmp_path / "key-2.json")
        words = [what, contract, "--rpc", chain.url, "--key-file", key]
        result = CliRunner().invoke(stake_app, words)
        said.append(result.output)

    def leave(number: int, phase: str) -> None:
        if (number, phase) == (1, "train"):
            command("leave")  # not in the middle of a round
        if (number, phase) == (1, "close"):
            command("leave")
            command("withdraw")
            command("withdraw")

    _, records = play(tmp_path, chain, grid, on_phase=leave)
    assert [record.committed for record in records] == [(0, 1, 2), (0, 1)]
    assert "not in phase IDLE or SELECTED" in said[0]
    assert said[1].startswith(f"leave: {member(2).address} in transaction 0x")
    assert said[2].startswith("withdraw: ")
    assert "ContractReverted" in said[3]
    ledger = ledger_of(tmp_path, chain)
    assert balance(chain, ledger.domain.contract) == 2 * STAKE
    assert [e.member for e in ledger.events() if isinstance(e, MemberLeft)] == [2]
    command("join")
    assert ledger.active() == 0b111
    chain.stop()
    assert audit_command(tmp_path / "run") == 0


def test_two_deltas_signed_for_one_round_cost_the_stake_and_the_membership(
    tmp_path: Path, chain: EmbeddedChain
) -> None:
    for index in range(4):
        chain.fund(member(index).address, ETHER)
    app = toy.client_app([peer_consensus_mod])
    grid = TwoFaced(app, 4, cheat=3)
    strategy, records = play(tmp_path, chain, grid)
    assert [record.committed for record in records] == [(0, 1, 2), (0, 1, 2)]
    assert "two different deltas" in records[0].left_out[3]
    ledger = ledger_of(tmp_path, chain, member(3))
    assert [e.member for e in ledger.events() if isinstance(e, Equivocated)] == [3]
    assert ledger.active() == 0b0111
    assert strategy.refused == {}, "it is not asked to come back"
    with pytest.raises(ContractReverted):
        ledger.withdraw()
    with pytest.raises(ContractReverted):
        ledger.leave()
    with pytest.raises(ContractReverted, match="an equivocator does not come back"):
        ledger.join()
    with pytest.raises(ContractReverted, match="nothing to withdraw"):
        ledger_of(tmp_path, chain, chain.coordinator).withdraw()
    assert balance(chain, ledger.domain.contract) == 3 * STAKE, "the stake is burnt"
    chain.stop()
    assert {finding.culprit for finding in audit_run(tmp_path / "run").findings} == {author(3)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"membership": "open"}, "stake_wei: expected at least 1 .*; found 0"),
        ({"stake_wei": 5}, "stake_wei: expected 0, or membership='open'; found 5"),
        ({"membership": "all"}, "membership: expected one of"),
        ({"membership": "open", "stake_wei": 1, "allowed": [member(0).address]}, "kept out"),
        ({"allowance_wei": -1}, "allowance_wei: expected at least 0; found -1"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        PeerConsensus(run_dir=tmp_path, **options)
