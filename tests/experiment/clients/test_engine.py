"""How much of the machine the clients may use."""

from __future__ import annotations

import os

import psutil
import pytest

from bcfl.experiment.clients.engine import _ray_folder, usable_cpus


def test_cpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 2, 5], raising=False)
    assert usable_cpus() == 3


def test_where_the_system_has_no_such_limit_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)
    assert usable_cpus() == os.cpu_count()


def test_rays_sockets_get_a_path_that_is_short_enough() -> None:
    """ray-project/ray#7724, verl-project/verl#1120: a cluster's TMPDIR is too long for them."""
    slurm = "/net/tdfcarhc/people/poebhkiwa/slurm_jobdir/1355700/tmp.t0016"
    assert _ray_folder({"TMPDIR": slurm}) == "/tmp/ray"
    assert _ray_folder({"RAY_TMPDIR": slurm, "TMPDIR": "/tmp"}) == "/tmp/ray"
    session = "/ray/session_2026-11-27_22-43-25_123456_1234567/sockets/plasma_store"
    for fitting in ({}, {"TMPDIR": "/scratch/job"}, {"TMPDIR": "/" + "x" * 34}):
        assert _ray_folder(fitting) is None
        assert len(fitting.get("TMPDIR", "") + session) <= 107
