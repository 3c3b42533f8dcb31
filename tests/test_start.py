"""What a process loads before it does anything: no more than it needs."""

from __future__ import annotations

import json
import subprocess
import sys

#: A second and more of imports, none of which a member's message needs: key files and their
#: curves, the EVM in this process, web3, the configuration's and the experiment's libraries.
HEAVY = ["eth", "eth_account", "hydra", "omegaconf", "py_ecc", "ray", "sklearn", "torch", "web3"]

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
