"""Verbs as tests run them: in this process or another one, on a micro space, killed at a chosen moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gazenas.__main__ import main
from gazenas.models.build import full_architecture
from gazenas.models.network import Network
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import STREAM, SearchSpace

MICRO = Path(__file__).parent / "micro.yaml"
MICRO_STREAMS = Path(__file__).parent / "micro_streams.yaml"
MICRO_CHAIN = Path(__file__).parent / "micro_chain.yaml"
SAME = ("arch.json", "weights.safetensors")
# The gentle schedule: whole epochs, and nothing leaves before it is pressed to zero.
GENTLE = (
    "--shrink-from",
    "0.2",
    "--shrink-until",
    "0.7",
    "--shrink-every",
    "1",
    "--shrink-at-most",
    "1",
    "--press",
    "0.75",
)
SEARCH = (
    "--space",
    str(MICRO),
    "--target-macs",
    "30%",
    "--epochs",
    "5",
    "--batch-size",
    "8",
    "--threads",
    "1",
    *GENTLE,
)
Once = Callable[[str, Callable[[Path], object]], Path]  # of a name and what makes it; see the fixture `once`
TUNE = ("--epochs", "3", "--batch-size", "8", "--threads", "1")


# Runs a verb and kills itself at the COUNT-th time that it comes to POINT.
KILLER = """
import os, signal, sys
point, count = sys.argv[1], int(sys.argv[2])
import gazenas.search.searching
shrink = sys.modules["gazenas.search.shrinking"]  # the package's attribute is the function
seen = [0]
def come():
    seen[0] += 1
    if seen[0] == count:
        os.kill(os.getpid(), signal.SIGKILL)
if point == "shrink":
    apply = shrink._apply
    shrink._apply = lambda *words: (come(), apply(*words))[1]
else:
    replace = os.replace
    os.replace = lambda source, to: (come() if str(to).endswith(point) else None, replace(source, to))[1]
from gazenas.__main__ import main
sys.exit(main(sys.argv[3:]))
"""


def search(data: Path, out: Path, *more: str) -> list[str]:
    return ["search", "--data", str(data), *SEARCH, "--out", str(out), *more]


def metrics(run: Path) -> list[list[str]]:
    """metrics.csv without times and rates."""
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    keep = [i for i, name in enumerate(rows[0]) if name not in ("seconds", "images_per_second")]
    return [[row[i] for i in keep] for row in rows]


def assert_same_run(one: Path, other: Path) -> None:
    for name in SAME:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert metrics(one) == metrics(other)


def run_bad(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    said = capsys.readouterr()
    assert status == 2, said
    assert "Traceback" not in said.err
    return said.err


def begin(arguments: list[str], *killer: str) -> subprocess.Popen[str]:
    command = ["-c", KILLER, *killer] if killer else ["-m", "gazenas"]
    return subprocess.Popen(
        [sys.executable, *command, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as it is now: a test may have changed it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(out: Path, text: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "log.txt").exists() and text in (out / "log.txt").read_text():
            return
        time.sleep(0.02)


def disturb(network: Network) -> Network:
    """Moves every weight and statistic off its initial value, so that nothing cancels by accident."""
    generator = torch.Generator().manual_seed(1)

    def noise(shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * noise(parameter.shape).to(parameter))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.add_(0.3 * noise(module.running_mean.shape).to(module.running_mean))
                module.running_var.mul_(torch.exp(0.3 * noise(module.running_var.shape)).to(module.running_var))
    return network


def thinned(space: SearchSpace, share: float) -> Architecture:
    """A share of every unit group, rounded down; of a stream at least what its space keeps."""
    return full_architecture(space).with_counts(
        lambda place, operator, group, units: max(
            space.least_stream_width if operator == STREAM else 0, int(share * units)
        )
    )
