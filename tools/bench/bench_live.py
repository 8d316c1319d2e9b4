"""The live page of ``gazenas collect`` in headless Chromium before a fake camera: frames a second, and processor time.

    OMP_NUM_THREADS=1 python -m tools.bench.bench_live --model NAME [--width 1280 --height 720] [--seconds 20]

A rendered head turns before the camera, 30 frames a second. Frames are those that were answered and drawn, each counted
once. Where other work shares the machine, frames a second say little; the processor time of a frame, of the server and
of all of the browser's processes, says how many two idle cores could do at most.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.photography import Sitter, photograph
from gazenas.data.synthetic.scene import sample_scene
from tests.faces.chromium import Chromium, write_film
from tests.faces.live.serving import Collecting

FRAMES, FPS = 24, 30
SETTLE = 5.0  # seconds before anything is counted


def film(path: Path, width: int, height: int) -> None:
    """A head that turns."""
    rng = np.random.default_rng(1)
    camera, head, light = assume_camera(width, height), build_head(sample_person(rng)), sample_scene(rng)
    frames = []
    for angle in np.linspace(0, 2 * np.pi, FRAMES, endpoint=False):
        scene = replace(light, head_pose=(0.1 * float(np.sin(angle)), 0.2 * float(np.cos(angle))))
        center = np.array([40 * np.sin(angle), 0, 600])
        frames.append(photograph([Sitter(head, scene, center)], camera, width, height)[0])
    write_film(path, frames, FPS)


def processor_seconds(root: int) -> float:
    """Of a process and everything that it started and that runs still."""
    seconds, children = {}, dict[int, list[int]]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            values = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        seconds[int(folder.name)] = (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
        children.setdefault(int(values[1]), []).append(int(folder.name))
    total, left = 0.0, [root]
    while left:
        process = left.pop()
        total += seconds.get(process, 0.0)
        left += children.get(process, [])
    return total


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film(folder / "film.y4m", arguments.width, arguments.height)
        with (
            Collecting(folder / "out", "--model", arguments.model) as collecting,
            Chromium(folder / "profile", folder / "film.y4m") as chromium,
        ):
            chromium.call("Page.navigate", url=collecting.url)
            chromium.wait_for("document.getElementById('seen').textContent.includes('pixels')", 60)
            chromium.write("width", "531")
            chromium.evaluate("document.getElementById('live').focus()")
            chromium.press("Enter")
            time.sleep(SETTLE)
            count = "Number(document.getElementById('drawing').dataset.frames)"
            marks = []
            for wait in (arguments.seconds, 0.0):
                used = [processor_seconds(process) for process in (collecting.process.pid, chromium.process.pid)]
                marks.append((time.monotonic(), chromium.evaluate(count), *used))
                time.sleep(wait)
            said = chromium.evaluate("document.getElementById('said').textContent")
    passed, frames, server, browser = (last - first for first, last in zip(*marks, strict=True))
    stated = re.search(r"([\d.]+) ms", said)
    print(
        f"{arguments.width} x {arguments.height}: {frames / passed:.1f} frames a second over {passed:.0f} s, ", end=""
    )
    print(
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; the last one took {stated[1] if stated else '?'} ms"
    )
    print(f"processor time of a frame: server {1000 * server / frames:.1f} ms, ", end="")
    print(f"browser {1000 * browser / frames:.1f} ms")


if __name__ == "__main__":
    main()
