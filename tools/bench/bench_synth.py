"""Prints rendered images per second on one core, without writing files.

    OMP_NUM_THREADS=1 python tools/bench/bench_synth.py [--people 4] [--images 40]

The time to tabulate a person's head is given apart, since it is paid once a person.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.rendering import render
from gazenas.data.synthetic.scene import sample_scene


def main() -> None:
    """Renders at 64 and at 224 pixels, alternating, so that the machine's drift hits both alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--images", type=int, default=40, help="of each person and size")
    arguments = parser.parse_args()
    seconds = {64: 0.0, 224: 0.0}
    building = 0.0
    for person in range(arguments.people):
        rng = np.random.default_rng(person)
        begun = time.perf_counter()
        head = build_head(sample_person(rng))
        building += time.perf_counter() - begun
        for _ in range(arguments.images):
            scene = sample_scene(rng)
            for size in seconds:
                begun = time.perf_counter()
                render(head, scene, size)
                seconds[size] += time.perf_counter() - begun
    images = arguments.people * arguments.images
    print(f"a person's head: {building / arguments.people * 1e3:.0f} ms")
    for size, spent in seconds.items():
        print(f"{size} pixels: {images / spent:.0f} images a second and core ({images} images)")


if __name__ == "__main__":
    main()
