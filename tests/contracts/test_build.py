"""The committed JSON is what users get. That it is what the sources give, ``make lint`` checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bcfl.contracts import artifact, build
from bcfl.core.errors import ArtifactError


@pytest.mark.parametrize("source", build.deployables(), ids=lambda path: path.stem)
def test_the_code_fits_a_contract_and_knows_no_paths(source: Path) -> None:
    compiled = artifact(source.stem)
    immutable_bytes = json.loads(source.with_suffix(".json").read_text())["immutable_bytes"]
    assert len(compiled.runtime_code) + immutable_bytes <= build.MAX_CODE, "EIP-170"
    assert len(compiled.bytecode) < 49_152, "EIP-3860"
    assert compiled.runtime_code in compiled.bytecode
    assert str(build.HERE) not in source.with_suffix(".json").read_text(encoding="utf-8")


def test_there_is_a_json_for_every_contract_and_no_other() -> None:
    assert {path.stem for path in build.HERE.glob("*.json")} == {
        source.stem for source in build.deployables()
    }


def test_a_contract_that_does_not_exist_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"Nothing\.json.*python -m bcfl\.contracts\.build"):
        artifact("Nothing")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"abi": [], "bytecode": 1}', '{"abi": '])
def test_a_damaged_json_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Broken.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr("bcfl.contracts.resources.files", lambda _: tmp_path)
    with pytest.raises(ArtifactError, match=r"expected Broken\.json to hold"):
        artifact("Broken")


SOURCE = "# pragma version 0.4.3\n@external\ndef answer() -> uint256:\n    return {answer}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one contract and one module, as if it were ours."""
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tmp_path / "Answer.vy").write_text(SOURCE.format(answer=42), encoding="utf-8")
    (tmp_path / "module.vy").write_text("# pragma version 0.4.3\n", encoding="utf-8")
    return tmp_path


def test_check_sees_a_difference_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(["--check"]) == 1
    assert "Answer.json" in capsys.readouterr().out
    assert not (folder / "Answer.json").exists()
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    assert json.loads((folder / "Answer.json").read_text(encoding="utf-8"))["abi"]
    (folder / "Answer.vy").write_text(SOURCE.format(answer=43), encoding="utf-8")
    assert build.main(["--check"]) == 1


def test_a_source_that_does_not_compile_fails_and_spares_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "Wrong.vy").write_text(SOURCE.format(answer="nonsense"), encoding="utf-8")
    assert build.main([]) == 1
    assert "Wrong.vy does not compile" in capsys.readouterr().err
    assert (folder / "Answer.json").exists()
    assert not (folder / "Wrong.json").exists()


def test_a_contract_that_no_chain_takes_is_not_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "HELD: immutable(uint256)\n@deploy\ndef __init__():\n    HELD = 1\n"
    source = SOURCE.replace("@external", own + "@external").format(answer="HELD")
    (folder / "Answer.vy").write_text(source, encoding="utf-8")
    assert build.main([]) == 0
    compiled = json.loads((folder / "Answer.json").read_text(encoding="utf-8"))
    size = len(compiled["runtime_bytecode"]) // 2 - 1 + compiled["immutable_bytes"]
    assert compiled["immutable_bytes"] == 32
    monkeypatch.setattr(build, "MAX_CODE", size - 1)
    assert build.main([]) == 1
    assert f"Answer.vy does not compile: {size} bytes" in capsys.readouterr().err


def test_a_name_that_is_no_contract_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(["Anwser"]) == 1
    assert "Anwser" in capsys.readouterr().err
