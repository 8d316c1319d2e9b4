"""``gazenas benchmark``: latency of any mix of networks in one process, turn by turn."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jsonargparse.typing import NonNegativeInt, PositiveInt
from numpy.typing import NDArray

from gazenas.commands._common import console, counting_bar, make_parser, print_table
from gazenas.evaluation.comparison import Candidate, candidates, write_onnx
from gazenas.export.footprint import WARM_UP, interleaved_latency
from gazenas.export.timing import describe_machine
from gazenas.files import safe_name, write_csv, write_json
from gazenas.report.comparison import draw_latency

Latencies = dict[str, dict[str, NDArray[np.float64]]]


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser(
        "benchmark",
        "Times single images in onnxruntime, every model once a round in one process, on one thread and on all.",
    )
    parser.add_argument(
        "models", type=str, nargs="+", help="shipped subnets, comparators, run folders, arch.json and ONNX files"
    )
    parser.add_argument("--repeats", type=PositiveInt, default=20, help="rounds, after three that warm up")
    parser.add_argument(
        "--input_size", "--input-size", type=NonNegativeInt, default=0, help="of names; 0 for each one's own"
    )
    parser.add_argument(
        "--out", type=str, default="benchmark", help="folder for latency.csv, summary.json, latency.png"
    )
    arguments = parser.parse_args(argv)
    out = Path(arguments.out)
    found = candidates(arguments.models, retrain=False, input_size=arguments.input_size)
    with tempfile.TemporaryDirectory() as aside:
        files = {}
        with counting_bar("exporting", len(found)) as done:
            for each in found:
                path = Path(aside) / f"{safe_name(each.name)}.onnx"
                write_onnx(each, path)
                files[each.name] = (path, each.input_size)
                done(1)
        latencies = measure(files, arguments.repeats)
    out.mkdir(parents=True, exist_ok=True)
    write_latency(latencies, out)
    sizes = {each.name: each.input_size for each in found}
    write_json(
        out / "summary.json",
        {
            "verb": "benchmark",
            "machine": describe_machine(1),
            "repeats": arguments.repeats,
            "input_sizes": sizes,
            "ms": {
                threads: {
                    name: dict(zip(("median", "p95"), middle(values), strict=True)) for name, values in by.items()
                }
                for threads, by in latencies.items()
            },
        },
    )
    print_latency(found, latencies)
    console.print(f"latency.csv, summary.json and latency.png are in {out}")


def measure(files: Mapping[str, tuple[Path, int]], repeats: int) -> Latencies:
    """Milliseconds by number of threads and model."""
    latencies: Latencies = {}
    for words, threads in (("one thread", 1), ("all threads", 0)):
        with counting_bar(f"timing, {words}", repeats + WARM_UP) as done:
            latencies[words] = interleaved_latency(files, threads=threads, repeats=repeats, on_round=lambda n: done(1))
    return latencies


def middle(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return float(np.median(values)), float(np.percentile(values, 95))


def write_latency(latencies: Latencies, out: Path) -> None:
    """Every measurement as ``latency.csv``, and the picture."""
    rows = (
        [name, threads, number, f"{value:.4f}"]
        for threads, by_model in latencies.items()
        for name, values in by_model.items()
        for number, value in enumerate(values)
    )
    write_csv(out / "latency.csv", ["model", "threads", "round", "milliseconds"], rows)
    draw_latency(latencies, out / "latency.png")


def print_latency(found: Sequence[Candidate], latencies: Latencies) -> None:
    """Median and 95th percentile by model."""
    rows = []
    for each in found:
        cells = [f"{value:.2f}" for by_model in latencies.values() for value in middle(by_model[each.name])]
        rows.append([each.name, str(each.input_size), *cells])
    titles = [f"{words}: {what}" for words in latencies for what in ("median ms", "95th percentile")]
    print_table("latency of single images in onnxruntime", ["model", "pixels", *titles], rows)
