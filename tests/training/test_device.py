"""Where a job computes; memory that runs out is explained."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import torch

from common.console import UserError
from tests.conftest import ROOT
from training import slots
from training.device import check_gpu, device_for, equal_bits, memory_advice, pick_device


def test_an_absent_gpu_and_an_unknown_device_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match=r"--device cuda: .* sees no GPU; use --device cpu"):
        pick_device("cuda")
    with pytest.raises(UserError, match=r"--device tpu: expected auto, cpu, cuda or cuda:N"):
        pick_device("tpu")
    with pytest.raises(UserError, match=r"training\.require_gpu is set, but there is no GPU"):
        check_gpu()
    with pytest.raises(UserError, match=r"--device cpu contradicts training\.require_gpu of the preset"):
        check_gpu("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"--device cuda:5: .* sees 2 GPUs; use --device cuda:0 to cuda:1"):
        pick_device("cuda:5")


@pytest.mark.parametrize(("visible", "job", "waits"), [(1, True, False), (1, False, True), (2, True, True)])
def test_a_slot_is_taken_unless_a_batch_system_gave_this_job_one_gpu(
    visible: int, job: bool, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In device cgroups, two jobs with two GPUs both see number 0: the second would wait for the first."""
    taken: list[list[str]] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(slots, "take", lambda gpus, per_gpu: taken.append(gpus))
    monkeypatch.setattr(slots, "held", [])
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert pick_device("auto").type == "cuda"
    assert bool(taken) == waits


def test_a_control_waits_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(slots, "take", lambda gpus, per_gpu: pytest.fail("it took a slot"))
    monkeypatch.setattr(slots, "held", [])
    assert device_for("control_noise", "auto") == torch.device("cpu")
    assert device_for("fastgan", "cuda").type == "cuda"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not enforce RLIMIT_AS")
def test_memory_that_the_machine_refuses_is_one_sentence() -> None:
    code = (
        "import torch\nfrom common.console import run\nfrom training.device import memory_advice\n"
        "def main():\n"
        "    with memory_advice('training', 'lower methods.fastgan.batch'):\n"
        "        torch.empty(2**34)\n"
        "run(main)"
    )

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, preexec_fn=starve, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: training ran out of memory: lower methods.fastgan.batch\n")


def test_a_full_gpu_is_explained_with_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**29, 2**34))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 2**33)
    numbers = r"\(16.0 GiB, of which this process had 8.0 and 0.5 were free\)"
    sentence = rf"backtracking ran out of GPU memory {numbers}: lower --batch"
    with pytest.raises(UserError, match=sentence), memory_advice("backtracking", "lower --batch"):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_equal_bits_are_asked_of_a_gpu_alone_and_what_has_none_is_named() -> None:
    with equal_bits(True, torch.device("cpu")), equal_bits(False, torch.device("cuda")):
        assert not torch.are_deterministic_algorithms_enabled()
    advice = r"^training.deterministic is set, but torch .* has no deterministic pool_cuda for GPUs: remove the key"
    with pytest.raises(UserError, match=advice), equal_bits(True, torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        raise RuntimeError("pool_cuda does not have a deterministic implementation, but you set ...")
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="another"), equal_bits(True, torch.device("cuda")):
        raise RuntimeError("another")
