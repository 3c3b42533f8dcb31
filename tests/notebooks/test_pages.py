"""README and guides: short, no link into nothing, and no command that nothing runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache, partial
from itertools import takewhile
from pathlib import Path

import click
import flwr
import pytest
import typer

from bcfl.cli.main import app
from tests.experiment.test_conf import composed
from tests.notebooks.pages import PAGES, ROOT, Block, anchors, blocks, commands, links, tokens

README = ROOT / "README.md"
ALL = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in ALL if block.language == "bash"]
LANGUAGES = {"bash", "python", "mermaid"}


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


def faults_of(page: Path, target: str) -> list[str]:
    """What is wrong with a link on that page."""
    if target.startswith("https://"):
        return []
    place, _, anchor = target.partition("#")
    path = (page.parent / place).resolve() if place else page
    if not path.exists():
        return [f"{page.name}: there is no {place}"]
    if anchor and anchor not in anchors(path):
        return [f"{page.name}: {path.name} has no section {anchor}"]
    return []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [fault for target in links(page) for fault in faults_of(page, target)] == []


def test_a_link_into_nothing_is_found() -> None:
    assert faults_of(README, "notebooks/nothing.md") == [
        "README.md: there is no notebooks/nothing.md"
    ]
    assert faults_of(README, "#nothing") == ["README.md: README.md has no section nothing"]


def test_every_page_is_within_reach_of_the_readme() -> None:
    notebooks = {
        path for path in (ROOT / "notebooks").iterdir() if path.suffix in {".md", ".ipynb"}
    }
    assert notebooks <= {(ROOT / target.partition("#")[0]) for target in links(README)}


def test_the_gas_that_is_named_is_what_is_measured() -> None:
    rounds, market = (
        json.loads((ROOT / "tests/contracts" / name).read_text("utf-8"))
        for name in ("gas.json", "market_gas.json")
    )
    sold = market["submission, 5 verifiers"]["all"]
    settled = json.loads((ROOT / "tests/contracts/settlement_gas.json").read_text("utf-8"))
    quiet = [settled[members][call] for members in settled for call in ("settle", "answer")]
    for page, figures in {
        "README.md": [rounds["10"]["round"], rounds["100"]["round"]],
        "notebooks/cost.md": [sold, *quiet, *(rounds[members]["round"] for members in rounds)],
        "notebooks/marketplace.md": [sold],
    }.items():
        text = (ROOT / page).read_text("utf-8")
        assert [gas for gas in figures if f"{gas:,}" not in text] == [], page


# --- Commands --------------------------------------------------------------------------------


def unrun(block: Block) -> list[str]:
    """What the files that a block names do not have, of its commands."""
    if not block.elsewhere:
        return []
    missing = [name for name in block.elsewhere if not (ROOT / name).is_file()]
    text = "\n".join((ROOT / n).read_text("utf-8") for n in block.elsewhere if n not in missing)
    found = [f"{block}: there is no {name}" for name in missing]
    for command in commands(block.code):
        program, *words = command.split()
        if program == "make":
            sought = [f"\n{words[0]}:"]
        else:
            named = takewhile(partial(re.fullmatch, r"[a-z][a-z-]*|-m|bcfl\.\w+"), words)
            sought = [*({program} - {"python"}), *named]
        absent = [repr(part) for part in sought if part not in text]
        found += [f"{block}: {part} is not in {block.elsewhere}" for part in absent]
    return found


@pytest.mark.parametrize("block", ALL, ids=str)
def test_every_block_is_executed_or_names_what_runs_it(block: Block) -> None:
    assert block.language in LANGUAGES
    assert unrun(block) == []


def test_a_command_that_nothing_runs_is_found() -> None:
    code = "bcfl fly RUN_DIR\nmake coffee"
    wrong = Block(README, 1, "bash", ("Makefile", "nothing.py"), code)
    assert [fault.partition(": ")[2] for fault in unrun(wrong)] == [
        "there is no nothing.py",
        "'fly' is not in ('Makefile', 'nothing.py')",
        "'\\ncoffee:' is not in ('Makefile', 'nothing.py')",
    ]


def in_text() -> Iterator[tuple[Path, str]]:
    """What stands between backticks, and in blocks of bash."""
    for page in PAGES:
        for token in tokens(page):
            for child in token.children or ():
                if child.type == "code_inline":
                    yield page, child.content
    for block in SHELL:
        for command in commands(block.code):
            yield block.page, command


@cache
def bcfl_command() -> click.Command:
    return typer.main.get_command(app)


def misspelt(command: str) -> list[str]:
    """Words of a ``bcfl …`` that are none of its commands, and options that are none of theirs."""
    words = command.split()[1:]
    at = bcfl_command()
    while words and isinstance(at, click.Group) and re.fullmatch(r"[a-z_]+", words[0]):
        name = words.pop(0)
        if name not in at.commands:
            return [name]
        at = at.commands[name]
    if at.name == "run":
        return []  # Hydra's
    known = {option for each in at.params for option in (*each.opts, *each.secondary_opts)}
    known |= {"--help"}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]


def test_every_command_of_ours_is_spelt_as_it_is() -> None:
    ours = [(page, text) for page, text in in_text() if re.match(r"bcfl [a-z-]", text)]
    assert len(ours) > 40
    assert [(page.name, text, misspelt(text)) for page, text in ours if misspelt(text)] == []
    assert misspelt("bcfl fly") == ["fly"]
    assert misspelt("bcfl audit RUN --rcp X") == ["--rcp"]


@pytest.mark.parametrize("kind", ["superlink", "supernode"])
def test_every_option_of_flowers_programs_is_one(kind: str) -> None:
    """As its source has them: importing it costs seconds."""
    places = f"{kind}/cli/flower_{kind}.py", "common/args.py"
    source = "".join(Path(flwr.__path__[0], place).read_text("utf-8") for place in places)
    used = {
        option
        for _, text in in_text()
        if text.startswith(f"flower-{kind}")
        for option in re.findall(r"(?<= )--[a-z-]+", text)
    }
    assert len(used) > 3
    assert [option for option in used if f'"{option}"' not in source] == []


def test_every_make_target_that_is_named_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = {target for _, text in in_text() for target in re.findall(r"\bmake (\w+)", text)}
    assert len(named) > 6
    assert [target for target in sorted(named) if f"\n{target}:" not in makefile] == []


def test_what_no_page_executes_is_a_configuration_all_the_same() -> None:
    executed = {
        command for block in SHELL if not block.elsewhere for command in commands(block.code)
    }
    runs = {text for _, text in in_text() if re.match(r"bcfl run .*=", text)} - executed
    assert len(runs) > 3
    for text in runs:
        words = re.findall(r"(?<= )[\w.]+=\S+", text)
        composed(*(re.sub(r",.*", "", word) for word in words))
