"""The README and the guides: their blocks of code, and what these blocks are executed by.

A block of Python or bash is executed by ``make docs``, in the order of its page, in a folder that
is empty at the page's beginning. Where that cannot be (two machines, hours, money) the words behind
```` ```bash ```` name the tests, or the program of a ``make`` target, that have its commands.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.md"))]
_TITLE_OUT = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int  #: its first line of code, from 1
    language: str
    elsewhere: tuple[str, ...]  #: the files that have its commands; none: it is executed
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8")))


def blocks(page: Path) -> Iterator[Block]:
    for token in tokens(page):
        if token.type == "fence" and token.info:
            language, *elsewhere = token.info.split()
            assert token.map
            yield Block(page, token.map[0] + 2, language, tuple(elsewhere), token.content)


def links(page: Path) -> Iterator[str]:
    """Where it links to, pictures included."""
    for token in tokens(page):
        for child in token.children or ():
            if (target := child.attrs.get("href") or child.attrs.get("src")) is not None:
                yield str(target)


def titles(page: Path) -> list[str]:
    """Its headings, without their marks."""
    found = zip(tokens(page), tokens(page)[1:], strict=False)
    return [
        after.content.replace("`", "") for token, after in found if token.type == "heading_open"
    ]


def anchors(page: Path) -> set[str]:
    """What ``page.md#…`` can name, as GitHub derives it from the headings."""
    return {_TITLE_OUT.sub("", title.lower()).replace(" ", "-") for title in titles(page)}


def commands(code: str) -> list[str]:
    """One a line, without comments, ``export`` and what stands before or behind a command."""
    code = re.sub(r"\\\n\s*", "", code)
    found = []
    for line in code.splitlines():
        bare = re.sub(r"(?:^|\s)#.*", "", line)
        for part in re.split(r"&&|;|(?<!&)&$", bare):
            words = re.sub(r"^(?:\w+=\S*\s+)+", "", part.strip())
            if words and not words.startswith(("export ", "cd ")):
                found.append(words)
    return found


def execute(block: Block, names: dict[str, Any]) -> None:
    """Run a block in the current folder; raises what it raises, CalledProcessError for bash."""
    if block.language == "python":
        code = compile("\n" * (block.line - 1) + block.code, str(block.page), "exec")
        exec(code, names)
    elif block.language == "bash" and not block.elsewhere:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.code],
            env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | _flower(Path.cwd()),
            check=True,
        )


def execute_page(page: Path, folder: Path) -> None:
    """Run all of a page's blocks; Python's share their names."""
    names: dict[str, Any] = {"__name__": page.stem}
    try:
        with contextlib.chdir(folder):
            for block in blocks(page):
                print(f"-- {block}", flush=True)
                execute(block, names)
    finally:
        _end_superlink(folder)


def _flower(folder: Path) -> dict[str, str]:
    """``flwr run`` leaves a SuperLink of this folder's own, and asks no network for anything."""
    return {
        "FLWR_HOME": str(folder / ".flwr"),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }


def _end_superlink(folder: Path) -> None:
    """End what ``flwr run`` has left: processes that have this folder's FLWR_HOME."""
    home = _flower(folder)["FLWR_HOME"]
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("FLWR_HOME") == home:
                process.terminate()
                left.append(process)
    psutil.wait_procs(left, timeout=10)
