"""How often the interval of a paired difference holds the truth, for few people.

    python tools/experiments/check_intervals.py [--samples 1000]

Draws people whose differences between two networks are normal or skewed (exponential), and counts how often the 95%
interval of ``gazenas compare`` holds the true mean, beside the bootstrap's plain percentiles.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from gazenas.evaluation.paired import paired_difference

PEOPLE = (5, 10, 15, 40)
TRUE = 0.5  # degrees, of both
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
KINDS: dict[str, Draw] = {
    "normal": lambda rng, count: rng.normal(TRUE, 0.5, count),
    "skewed": lambda rng, count: rng.exponential(TRUE, count),
}


def coverage(draw: Draw, count: int, samples: int) -> tuple[float, float]:
    """Shares of the samples whose interval holds the truth: ours, plain percentiles."""
    rng, held = np.random.default_rng(0), np.zeros(2)
    for _ in range(samples):
        apart = draw(rng, count)
        own = {str(number): float(each) for number, each in enumerate(apart)}
        found = paired_difference(own, dict.fromkeys(own, 0.0))
        assert found is not None
        assert found.interval is not None
        plain = bootstrap((apart,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(1))
        held += [low <= TRUE <= high for low, high in (found.interval, plain.confidence_interval)]
    ours, percentiles = held / samples
    return float(ours), float(percentiles)


def main() -> None:
    """Prints a row a kind and number of people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    samples = parser.parse_args().samples
    print("| people | differences | compare's interval | plain percentiles |\n| --- | --- | --- | --- |")
    for count in PEOPLE:
        for kind, draw in KINDS.items():
            ours, percentiles = coverage(draw, count, samples)
            print(f"| {count} | {kind} | {ours:.1%} | {percentiles:.1%} |")


if __name__ == "__main__":
    main()
