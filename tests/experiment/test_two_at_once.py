"""Two runs that begin in the same second in the same folder: one gets it, no two are mixed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.run_folder import RunFolder
from bcfl.files import write_atomically


def test_of_many_that_claim_a_folder_at_once_one_gets_it(tmp_path: Path) -> None:
    """SLURM's arrays, and a shell's loop with ``&``: the time is in the folder's name."""
    barrier, refused, names = threading.Barrier(8), [], []

    def begin(name: int) -> None:
        folder = RunFolder(tmp_path / "12-00-00")
        folder.claim()  # all see an empty folder
        barrier.wait()
        try:
            folder.write_config(OmegaConf.create({"seed": name, "run_dir": ""}), {"name": name})
            names.append(name)
        except ConfigurationError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 1
    assert len(refused) == 7
    assert all("holds a run already" in words for words in refused)
    config = OmegaConf.load(tmp_path / "12-00-00" / "config.yaml")
    assert config.seed == names[0]
    assert [path.name for path in (tmp_path / "12-00-00").iterdir()] == ["config.yaml"]


def test_what_is_written_anew_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"1", anew=True)
    with pytest.raises(FileExistsError):
        write_atomically(path, b"2", anew=True)
    assert json.loads(path.read_bytes()) == 1
    assert list(tmp_path.iterdir()) == [path]
