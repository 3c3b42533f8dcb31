"""The output folder of one run, as far as the experiment writes it.

======================  ====================================================================
``config.yaml``         the configuration, resolved, without the folder's own place
``rounds.jsonl``        a line for each round as it ends, and for each measurement; on disk
                        before the run goes on
``result.json``         all of it put together, when the run has ended
``model.safetensors``   the last global model
======================  ====================================================================

Peer consensus keeps its task (chain, blobs, signatures, checkpoints) beside these; see
``bcfl.consensus.task_folder``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic_core import to_json, to_jsonable_python

from bcfl.core.errors import ConfigurationError
from bcfl.core.model import Arrays
from bcfl.experiment.redaction import without_secrets
from bcfl.experiment.trust import add_scenario, expect_harmless
from bcfl.files import Journal, save_arrays, write_atomically

_HERE = "${run_dir}"
_PLACEHOLDER = "<run_dir>"
_NAMES = {"strategy", "dataset"}  # choices that every run has


class RunFolder:
    """Where one run is written.

    Parameters
    ----------
    path : Path
        Made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rounds = Journal(path / "rounds.jsonl")

    def claim(self) -> None:
        """Make sure, before anything slow, that nobody's run is written over.

        Raises
        ------
        ConfigurationError
            There is a run in the folder.
        """
        for name in ("config.yaml", "task.json", "market.json"):
            if (self.path / name).exists():
                raise self._taken(name)

    def write_config(self, config: DictConfig, choices: dict[str, Any]) -> None:
        """Write ``config.yaml``: resolved, but for ``run_dir``, so that the folder may move.

        ``choices`` stand in it beside the knobs, for whoever goes on with the run. From here on
        the folder is this run's: of several that begin at once, one gets it.

        Raises
        ------
        ConfigurationError
            Another run has.
        """
        movable = deepcopy(config)  # its own copy() leaves lists where they are
        movable.run_dir = _PLACEHOLDER
        resolved = OmegaConf.to_container(movable, resolve=True)
        assert isinstance(resolved, dict)
        del resolved["run_dir"]
        resolved["choices"] = choices
        text = OmegaConf.to_yaml(OmegaConf.create(without_secrets(resolved)))
        content = text.replace(_PLACEHOLDER, _HERE).encode()
        try:
            write_atomically(self.path / "config.yaml", content, anew=True)
        except FileExistsError:
            raise self._taken("config.yaml") from None

    def read_config(self, allowed: Collection[str] = ()) -> tuple[DictConfig, dict[str, Any]]:
        """The run's configuration, with ``run_dir`` where it is now, and its choices.

        Parameters
        ----------
        allowed : collection of str
            What the folder may ask for beyond what :func:`expect_harmless` lets pass.

        Raises
        ------
        ConfigurationError
            There is none, it is not as :meth:`write_config` leaves it, or it asks for more.
        """
        path = self.path / "config.yaml"
        if not path.exists():
            raise ConfigurationError(f"expected a run's folder; {path} is missing")
        try:
            config = OmegaConf.load(path)
            values = OmegaConf.to_container(config)
        except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(f"{path}: not a configuration: {reason}") from error
        named = values.pop("choices", None) if isinstance(values, dict) else None
        if not isinstance(values, dict) or not isinstance(named, dict) or _NAMES - named.keys():
            raise ConfigurationError(
                f"{path}: expected what `bcfl run` wrote; found something else"
            )
        expect_harmless(values, self.path, allowed)
        add_scenario(values.get("strategy"))
        read = OmegaConf.create({**values, "run_dir": str(self.path)})
        return read, {str(name): value for name, value in named.items()}

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json``. Numbers that are none (NaN, infinity) become null."""
        text = to_json(without_secrets(result), indent=2, inf_nan_mode="null")
        self._write("result.json", text + b"\n")

    def read_result(self) -> dict[str, Any] | None:
        """``result.json``, or None where the run has not ended."""
        path = self.path / "result.json"
        if not path.exists():
            return None
        result: dict[str, Any] = json.loads(path.read_bytes())
        return result

    def write_model(self, arrays: Arrays) -> None:
        """Write ``model.safetensors``; its metadata keep the order of the arrays."""
        save_arrays(self.path / "model.safetensors", arrays)

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line to ``rounds.jsonl``."""
        self.rounds.append(to_jsonable_python(entry, inf_nan_mode="null"))

    def _taken(self, by: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path} holds a run already ({by}): go on with it by `bcfl resume "
            f"{shlex.quote(str(self.path))}`, or choose another folder with hydra.run.dir=…"
        )

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self.path / name, content)
