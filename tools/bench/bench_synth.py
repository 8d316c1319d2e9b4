"""Prints rendered images per second on one core, without writing files.

    OMP_NUM_THREADS=1 python tools/bench/bench_synth.py [--people 4] [--images 40]

The time to tabulate a person's head is given apart, since it is paid once a person.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from gazenas.data.synthetic.renderers import RENDERERS


def main() -> None:
    """Renders at 64 and at 224 pixels, alternating, so that the machine's drift hits both alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--images", type=int, default=40, help="of each person and size")
    arguments = parser.parse_args()
    for number, draws in RENDERERS.items():
        seconds, counted, building = {64: 0.0, 224: 0.0}, 0, 0.0
        for person in range(arguments.people):
            rng = np.random.default_rng(person)
            begun = time.process_time()
            head = draws.build_head(draws.sample_person(rng))
            building += time.process_time() - begun
            for _ in range(0, arguments.images, draws.glances):
                scene = draws.sample_scene(rng)
                scenes = [scene, *(draws.vary_eyes(scene, rng) for _ in range(1, draws.glances))]
                counted += len(scenes)
                for size in seconds:
                    begun = time.process_time()
                    draws.render_all(head, scenes, size)
                    seconds[size] += time.process_time() - begun
        print(f"renderer {number}, a person's head: {building / arguments.people * 1e3:.0f} ms")
        for size, spent in seconds.items():
            print(f"  {size} pixels: {counted / spent:.0f} images a second and core ({counted} images)")


if __name__ == "__main__":
    main()
