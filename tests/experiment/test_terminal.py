"""What a person sees: a line a round in a pipe, a table, a summary that says what to do next."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from bcfl.experiment.terminal import Terminal, round_table, summary_lines

PLAIN: dict[str, Any] = {
    "round": 1, "accuracy": 0.5, "loss": 1.25, "seconds": {"train": 1.5}, "bytes_up": 2000,
    "bytes_up_dense": 8000, "model": "abc",
}  # fmt: skip
CONSENSUS = PLAIN | {
    "committed": [0, 1, 2], "expected": [0, 1, 2, 3], "winners": [0, 2], "void": False,
    "rejected": {"0": {"1": "late"}, "2": {"1": "late"}}, "gas": {"open": 1000, "close": 234},
}  # fmt: skip
RESULT: dict[str, Any] = {
    "strategy": "peer_consensus", "dataset": "digits", "wall_s": 61.2, "rounds": [CONSENSUS],
    "final": {"accuracy": 0.5, "round": 1, "model": "abc"},
    "totals": {"gas": 1234, "gas_per_round": 1234, "bytes_up": 2000, "bytes_up_dense": 8000},
}  # fmt: skip


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=110, force_terminal=terminal, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_in_a_pipe_a_round_is_a_line() -> None:
    screen = console()
    with Terminal("fedavg on digits", 3, screen) as terminal:
        terminal.phase(1, "train")
        terminal.measured([{"round": 1, "accuracy": 0.5, "loss": 1.25}])
        terminal.measured([{"round": 2, "accuracy": 0.5, "loss": None}])
    assert printed(screen).splitlines() == [
        "round 1/3: accuracy 0.500, loss 1.250",
        "round 2/3: accuracy 0.500, loss –",
    ]


def test_on_a_terminal_a_bar_shows_round_phase_and_accuracy() -> None:
    screen = console(terminal=True)
    with Terminal("fedavg on digits", 3, screen) as terminal:
        terminal.measured([PLAIN])
        terminal.phase(2, "ballot")
        terminal.phase(4, "train")  # begun, but never to be played
        terminal._progress.refresh()
    for word in ("fedavg on digits", "round 2/3", "ballot", "accuracy 0.500"):
        assert word in printed(screen)


def test_on_a_terminal_the_table_grows_row_by_row_and_keeps_to_its_height() -> None:
    screen = Console(file=io.StringIO(), width=60, height=8, force_terminal=True, highlight=False)
    rounds = [{**PLAIN, "round": 0}]
    with Terminal("a title that is not short", 9, screen) as terminal:
        for number in range(1, 8):
            rounds.append(CONSENSUS | {"round": number, "accuracy": number / 10})
            terminal.measured(rounds)
            drawn = Console(file=io.StringIO(), width=60, highlight=False)
            drawn.print(terminal._progress.get_renderable())
            shown = printed(drawn).splitlines()
            assert max(map(len, shown)) <= 60
            table = [line.split()[:2] for line in shown if "3/4" in line]
            first = max(1, number - 3)
            assert table == [[str(n), f"0.{n}00"] for n in range(first, number + 1)]
            assert "accuracy 0." in shown[-1]
            assert shown[-1].rstrip().endswith("0:00:00"), "the time is not cut"


def test_a_row_tells_who_took_part_and_what_it_cost() -> None:
    screen = console()
    screen.print(round_table([{"round": 0, "accuracy": 0.1}, CONSENSUS]))
    header, row, *rest = printed(screen).splitlines()
    assert not rest
    assert header.split()[:6] == ["round", "accuracy", "loss", "committed", "rejected", "winners"]
    assert " ".join(row.split()) == "1 0.500 1.250 3/4 1 0 2 1,234 2.0 kB 25.0% 1.5"


def test_on_a_narrow_terminal_a_row_is_folded_and_not_cut() -> None:
    screen = Console(file=io.StringIO(), width=60, highlight=False)
    many = CONSENSUS | {"winners": list(range(20)), "gas": {"open": 12_345_678}}
    screen.print(round_table([many]))
    assert "…" not in printed(screen)
    assert all(str(member) in printed(screen) for member in range(20))


def test_a_narrow_terminal_goes_without_what_matters_least() -> None:
    screen = Console(file=io.StringIO(), width=60, highlight=False)
    many = CONSENSUS | {"winners": list(range(5)), "gas": {"open": 429_070}}
    screen.print(round_table([many], screen.width))
    header, row = printed(screen).splitlines()
    assert header.split() == ["round", "accuracy", "committed", "rejected", "winners", "gas"]
    assert row.split() == ["1", "0.500", "3/4", "1", "0", "1", "2", "3", "4", "429,070"]


def test_a_void_round_is_called_so() -> None:
    screen = console()
    void = {key: value for key, value in CONSENSUS.items() if key not in ("accuracy", "loss")}
    screen.print(round_table([void | {"void": True}]))
    assert printed(screen).splitlines()[1].split()[:6] == ["1", "–", "–", "3/4", "1", "void"]


def test_without_a_chain_there_is_no_talk_of_it() -> None:
    screen = console()
    screen.print(round_table([PLAIN]))
    assert "gas" not in printed(screen)
    result = RESULT | {"totals": RESULT["totals"] | {"gas": 0, "bytes_up": 8000}}
    assert not any("audit" in line or "saved" in line for line in summary_lines(result, Path("x")))


def test_the_summary_says_where_everything_is_and_what_to_do_next() -> None:
    text = "\n".join(summary_lines(RESULT, Path("outputs/x")))
    for words in ("0.500", "1,234 a round", "75% saved", "outputs/x", "bcfl report outputs/x"):
        assert words in text
    assert "bcfl audit outputs/x\n" in text
    text = "\n".join(summary_lines(RESULT, Path("out puts"), "http://127.0.0.1:8545"))
    assert "bcfl audit 'out puts' --rpc http://127.0.0.1:8545\n" in text
