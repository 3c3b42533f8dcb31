"""How much of the machine the clients may use."""

from __future__ import annotations

import os

import psutil
import pytest

from bcfl.experiment.clients.engine import usable_cpus


def test_cpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 2, 5], raising=False)
    assert usable_cpus() == 3


def test_where_the_system_has_no_such_limit_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)
    assert usable_cpus() == os.cpu_count()
