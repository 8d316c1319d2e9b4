"""What the verbs ask of the process that they run in."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from gazenas.__main__ import main
from gazenas.commands import _common as common
from gazenas.commands._arguments import add_training_arguments

PROGRAM = """
import resource
import torch
from gazenas.commands._common import use_device
if {kept}:
    use_device("cpu", 1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    torch.ones(2**24)
before = faults()
for _ in range(5):
    torch.ones(2**24)
print(faults() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_tensors_take_the_memory_that_others_left() -> None:
    """64 MiB are 16,384 pages of 4 KiB, each of which faults when it is new; glibc takes a few tensors to settle."""
    new, kept = (
        int(subprocess.run([sys.executable, "-c", PROGRAM.format(kept=kept)], check=True, capture_output=True).stdout)
        for kept in (False, True)
    )
    assert kept * 20 < new, (kept, new)


@pytest.mark.parametrize(
    ("asked", "workers", "processes", "given"),
    [
        (0, 0, 1, 8),
        (0, 2, 1, 6),
        (0, 0, 4, 2),
        (0, 1, 4, 1),
        (0, 9, 1, 1),
        (3, 0, 1, 3),
        (64, 0, 1, 8),
        (3, 0, 4, 2),
        (0, 0, 16, 1),
    ],
)
def test_no_more_threads_than_cores(
    asked: int, workers: int, processes: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loader processes keep a core each, and processes on one machine share its eight."""
    taken: list[int] = []
    monkeypatch.setattr(common, "usable_cores", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    common.use_device("cpu", asked, workers)
    assert taken == [given]


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_is_deterministic_unless_it_is_not_wanted(deterministic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is not there, said to be there."""
    said: list[bool] = []
    monkeypatch.setattr(torch, "empty", lambda *words, **more: None)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", said.append)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back in the end
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    assert common.use_device("cuda:1", 1, deterministic=deterministic) == "cuda:1"
    assert said == [deterministic]
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == deterministic


@pytest.mark.parametrize(("words", "expected"), [((), True), (("--no-deterministic",), False)])
def test_deterministic_is_a_flag_of_trainings(words: tuple[str, ...], expected: bool) -> None:
    parser = common.make_parser("test", "")
    add_training_arguments(parser)
    arguments = parser.parse_args(["--data", "x", "--out", "y", *words])
    assert common.recorded_config(arguments)["deterministic"] is expected


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["search", "--data", "x", "--out", "y", "--lanes"], "--channel-multiple 4"),
        (["export", "--model", "x", "--out", "y.onnx", "--fill-lanes"], "--channel-multiple 8"),
        (["search", "--data", "x", "--out", "y", "--pressure=l1"], "--regularizer"),
        (["data", "check", "x", "--colours", "BGR"], "--colors"),
        (["export", "--fill_lanes=true", "--model", "x", "--out", "y.onnx"], "--channel-multiple 8"),
    ],
)
def test_old_flags_are_answered_with_the_new_ones(
    words: list[str], new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert f"expected {new}" in capsys.readouterr().err


def test_what_old_flags_are_answered_with_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for words in (["search"], ["export"], ["data", "check"], ["protocol", "ethxgaze-person"]):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        known += capsys.readouterr().out
    assert all(new.split()[0] in known for new in common.RENAMED.values())
    assert not [old for old in common.RENAMED if old in known]
