"""Facts of the machine in the JSON of the benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
from types import SimpleNamespace

import torch

from benchmarks.harness import machine
from tests.support.helpers import assert_equal

CPU, CARD = torch.device("cpu"), torch.device("cuda", 0)
UUID = "0a1b2c3d-0000-1111-2222-333344445555"


def test_facts_of_a_cpu():
    found = machine.facts(CPU)
    assert_equal("torch", found["torch"], torch.__version__)
    assert_equal("threads", found["threads"], torch.get_num_threads())
    assert found["device"] and None not in found.values()
    assert os.uname().nodename not in json.dumps(found).split('"'), "the host is not named"
    assert not {"capability", "driver_version"} & set(found)


def card(monkeypatch, tmp_path, answer: str | None, status: int = 0) -> dict:
    """Facts of a stand-in card, with a stand-in nvidia-smi that gives this answer."""
    properties = SimpleNamespace(multi_processor_count=132, total_memory=2**37, major=9, minor=0,
                                 L2_cache_size=50 * 2**20, uuid=UUID)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Stand-in 9000")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=None)
    if answer is not None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f'#!/bin/sh\necho "$*" > "{tmp_path}/asked"\necho "{answer}"\n'
                        f"exit {status}\n")
        tool.chmod(0o755)
    return machine.facts(CARD)


def test_facts_of_a_card(monkeypatch, tmp_path):
    found = card(monkeypatch, tmp_path, "580.1, 1980 MHz, 2619 MHz, 700.00 W, Enabled, Enabled")
    want = {"device": "Stand-in 9000", "multiprocessors": 132, "memory_bytes": 2**37,
            "capability": "9.0", "l2_bytes": 50 * 2**20, "driver_version": "580.1",
            "clocks.max.sm": "1980 MHz", "clocks.max.memory": "2619 MHz",
            "power.limit": "700.00 W", "ecc.mode.current": "Enabled"}
    assert_equal("facts", {k: found.get(k) for k in want} == want, True, str(found))
    assert "memory_bus_bits" not in found, "what torch does not tell is left out"
    asked = (tmp_path / "asked").read_text()
    assert f"--id=GPU-{UUID} " in asked and "--query-gpu=driver_version,clocks.max.sm," in asked


def test_facts_without_a_driver_that_answers(monkeypatch, tmp_path):
    answers = [(None, 0), ("No devices were found", 6), ("what", 0), ("1, 2, 3, 4, 5, 6", 9)]
    for i, (answer, status) in enumerate(answers):
        place = tmp_path / str(i)
        place.mkdir()
        found = card(monkeypatch, place, answer, status)
        assert_equal("multiprocessors", found["multiprocessors"], 132)
        assert "driver_version" not in found, found


def test_a_driver_that_hangs_is_given_up(monkeypatch, tmp_path):
    def hang(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(machine.subprocess, "run", hang)
    found = card(monkeypatch, tmp_path, "")
    assert "driver_version" not in found and found["capability"] == "9.0"
