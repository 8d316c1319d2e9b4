"""What the verbs ask of the process that they run in."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from gazenas.commands.common import use_device
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_tensors_take_the_memory_that_others_left() -> None:
    """64 MiB are 16,384 pages of 4 KiB, each of which faults when it is new; glibc takes a few tensors to settle."""
    new, kept = (
        int(subprocess.run([sys.executable, "-c", PROGRAM.format(kept=kept)], check=True, capture_output=True).stdout)
        for kept in (False, True)
    )
    assert kept * 20 < new, (kept, new)
