"""Compile every deployable contract: ``python -m bcfl.contracts.build [--check]``.

Writes ``NAME.json`` beside each CamelCase ``NAME.vy``. The same sources give the same bytes on
every machine: one compiler version, fixed settings, no metadata that knows of paths.
With ``--check`` nothing is written, and the exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vyper
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FilesystemInputBundle
from vyper.compiler.settings import OptimizationLevel, Settings
from vyper.exceptions import VyperException

__all__ = ["COMPILER_VERSION", "EVM_VERSION", "HERE", "compiled", "deployables", "main"]

COMPILER_VERSION = "0.4.3"
#: The newest set of opcodes that the contracts use (MCOPY); every later one runs it as well.
EVM_VERSION = "cancun"
OPTIMIZE = "gas"
MAX_CODE = 24_576  # EIP-170
HERE = Path(__file__).resolve().parent


class CodeTooLarge(Exception):
    """What the compiler made cannot be deployed."""


def deployables() -> list[Path]:
    """The sources that become a contract of their own, by name: those in CamelCase."""
    return sorted(path for path in HERE.glob("*.vy") if path.stem[0].isupper())


def compiled(source: Path) -> str:
    """The text of the JSON that belongs to ``source``."""
    if vyper.__version__ != COMPILER_VERSION:
        raise SystemExit(
            f"expected vyper {COMPILER_VERSION}, found {vyper.__version__}; "
            f"install it with `pip install vyper=={COMPILER_VERSION}`"
        )
    bundle = FilesystemInputBundle([source.parent])
    output: dict[str, Any] = compile_from_file_input(
        bundle.load_file(Path(source.name)),
        input_bundle=bundle,
        settings=Settings(
            evm_version=EVM_VERSION, optimize=OptimizationLevel.from_string(OPTIMIZE)
        ),
        output_formats=("abi", "bytecode", "bytecode_runtime", "layout"),
        no_bytecode_metadata=True,
    )
    immutables = _end_of(output["layout"].get("code_layout", {}))
    if (size := len(output["bytecode_runtime"]) // 2 - 1 + immutables) > MAX_CODE:
        raise CodeTooLarge(f"{size} bytes with its immutables; EIP-170 allows {MAX_CODE}")
    content = {
        "contract": source.stem,
        "compiler": f"vyper {COMPILER_VERSION}",
        "settings": {"evm_version": EVM_VERSION, "optimize": OPTIMIZE},
        "abi": output["abi"],
        "bytecode": output["bytecode"],
        "runtime_bytecode": output["bytecode_runtime"],
        "immutable_bytes": immutables,
    }
    return json.dumps(content, indent=1) + "\n"


def _end_of(layout: Mapping[str, Any]) -> int:
    """Where the last immutable ends; those of modules are in a layout of their own."""
    ends = [
        entry["offset"] + entry["length"] if "offset" in entry else _end_of(entry)
        for entry in layout.values()
    ]
    return max(ends, default=0)


def main(arguments: list[str] | None = None) -> int:
    """Compile, and write or compare; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bcfl.contracts.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("names", nargs="*", help="these contracts only")
    options = parser.parse_args(arguments)
    check = options.check
    sources = {source.stem: source for source in deployables()}
    if unknown := sorted(set(options.names) - sources.keys()):
        print(f"expected names among {', '.join(sources)}; found {unknown}", file=sys.stderr)
        return 1
    stale: list[str] = []
    broken: list[str] = []
    for source in [sources[name] for name in options.names] or sources.values():
        target = source.with_suffix(".json")
        try:
            text = compiled(source)
        except (VyperException, CodeTooLarge) as error:
            print(f"{source.name} does not compile: {error}", file=sys.stderr)
            broken.append(source.name)
            continue
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        stale.append(target.name)
        if not check:
            target.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'differs from its source' if check else 'written'}: {', '.join(stale)}")
    return 1 if broken or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
