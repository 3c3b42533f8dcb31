"""What a process loads before it does anything: no more than it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

#: A second and more of imports, none of which a member's message needs: key files and their
#: curves, the EVM in this process, web3, the configuration's and the experiment's libraries.
HEAVY = [
    "ecies", "eth", "eth_account", "hydra", "omegaconf", "py_ecc", "ray", "sklearn", "torch",
    "web3",
]  # fmt: skip

ONE_MESSAGE = f"""
import json, sys, time
started = time.process_time()
import flwr.clientapp
flower = time.process_time()
from bcfl import peer_consensus_mod
mod = time.process_time()
from bcfl.consensus.spec.messages import join_message
from bcfl.keys.accounts import derive_account, recover
account, words = derive_account(1, "member", 0), join_message(1, bytes(32))
assert recover(words, account.sign(words)) == account.address
signed = time.process_time()
loaded = [name for name in {HEAVY} if name in sys.modules]
print(json.dumps([loaded, flower - started, mod - flower, signed - mod]))
"""


def test_a_member_that_answers_one_message_loads_little_beside_flower():
    for _ in range(3):  # what else runs here slows one part more than another
        code = [sys.executable, "-c", ONE_MESSAGE]
        told = subprocess.run(code, check=True, capture_output=True, timeout=100, text=True)
        loaded, flower, mod, signed = json.loads(told.stdout)
        assert loaded == []
        if mod + signed < 1.4 * flower:
            return
    raise AssertionError(f"CPU seconds: Flower {flower:.2f}, mod {mod:.2f}, signing {signed:.2f}")


#: Each wrong in one value inside a group, which its own class refuses.
WRONG = [
    "strategy.gamma=2", "+strategy.gama=0.1", "attack=sign_flip attack.fraction=2",
    "training.learning_rate=-1", "partition=dirichlet partition.partitioner.alpha=0",
    "model.kind=rnn", "dataset.test_fraction=2", "strategy=fed_trimmed_avg strategy.beta=0.7",
    "engine.device=wrong",
]  # fmt: skip

SLOW = sorted({*HEAVY} - {"hydra", "omegaconf"})

REFUSED = f"""
import json, sys
from bcfl.experiment.hydra_entry import run_with_hydra
statuses = [run_with_hydra(words.split()) for words in {WRONG}]
print(json.dumps([statuses, [name for name in {SLOW} if name in sys.modules]]))
"""


def test_a_wrong_value_is_refused_before_anything_heavy_is_loaded(tmp_path: Path):
    code = [sys.executable, "-c", REFUSED]
    told = subprocess.run(
        code, cwd=tmp_path, check=True, capture_output=True, timeout=100, text=True
    )
    statuses, loaded = json.loads(told.stdout)
    assert dict(zip(WRONG, statuses, strict=True)) == dict.fromkeys(WRONG, 2)
    assert loaded == []
    assert len(told.stderr.splitlines()) == len(WRONG)
    assert not list(tmp_path.rglob("config.yaml"))
