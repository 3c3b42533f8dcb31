"""What is installed, editable and as a wheel: everything under ``bcfl``, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
MAPPED = {"conf": "bcfl/conf", "contracts": "bcfl/contracts", "strategies": "bcfl/strategies"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the files under version control, and from those alone."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    build = "import setuptools.build_meta as backend, sys; backend.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(out)], cwd=source, capture_output=True, check=True
    )
    (found,) = out.glob("*.whl")
    return found


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in ROOT.glob("bcfl/**/__init__.py")
        if "project" not in path.parts  # what `bcfl init` copies
    } | {name.replace("/", ".") for name in MAPPED.values()}
    assert set(settings["packages"]) == found


def test_the_wheel_puts_nothing_generic_into_site_packages(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bcfl"}


def test_the_wheel_holds_every_module_configuration_and_contract(wheel: Path) -> None:
    held = set(ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(ROOT)) for path in ROOT.glob("bcfl/**/*.py*") if path.suffix != ".pyc"
    }
    wanted |= {
        str(path.relative_to(ROOT))
        for folder in ("bcfl/cli/project", "bcfl/report/templates")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    for folder, target in MAPPED.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".pyi", ".yaml", ".vy", ".json"}:
                wanted.add(f"{target}/{path.relative_to(ROOT / folder)}")
    assert wanted - held == set()


def test_the_installed_wheel_works_away_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    ZipFile(wheel).extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "import bcfl.conf, bcfl.contracts, bcfl.strategies, bcfl.consensus.spec.domain; "
        "assert bcfl.contracts.artifact('PeerConsensus').bytecode; "
        "assert bcfl.Rules().gamma; "
        "print(*(m.__file__ for name, m in sys.modules.items() if name.startswith('bcfl')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    files = done.stdout.split()
    # the editable install would answer for what the wheel lacks
    assert len(files) > 6
    assert [file for file in files if not file.startswith(str(tmp_path))] == []


def test_the_editable_install_finds_all_four_folders() -> None:
    code = "import bcfl, bcfl.conf, bcfl.contracts, bcfl.strategies as s; print(s.PeerConsensus)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    assert "bcfl.strategies.peer_consensus.PeerConsensus" in done.stdout
