"""Runs the main job on a GPU in float32 and in bfloat16 and on the CPU beside it: does all of it work, and how fast is
it?

    python tools/bench/gpu_smoke.py [--out gpu_smoke] [--device cuda] [--space gazenas_fast_tiny] [--epochs 6]
    [--batch-size 256]

For each way of computing: a search with its shrinks, another one that is stopped and gone on with and must end in the
same bytes, a fine-tuning, an evaluation whose answers are compared with the CPU's for the same weights, and an export.
Prints a table of Markdown and writes OUT/gpu_smoke.json; what the verbs said is in OUT/*/log.txt. Status 0 where
everything held, 1 where something did not, 2 where
there is no GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gazenas.__main__ import main as gazenas_main
from gazenas.commands._common import usable_cores
from gazenas.evaluation.verb_processes import VerbError, VerbProcesses
from gazenas.export.timing import describe_machine
from gazenas.files import write_json
from gazenas.gaze import angular_error
from gazenas.models.zoo import load_space

ARITHMETIC = {"none": "float32", "bf16": "bfloat16"}
MOST_APART = 0.1  # degrees between two devices' answers of the same weights
STOP_SECONDS = 600.0  # to wait for a first epoch


def main() -> int:
    """Runs every way and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_smoke"))
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try this program itself")
    parser.add_argument("--space", default="gazenas_fast_tiny", help="name or YAML file")
    parser.add_argument("--target-macs", default="40%")
    parser.add_argument("--epochs", type=int, default=6, help="of the search and of the fine-tuning, at least 3")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--subjects", type=int, default=20, help="rendered people")
    parser.add_argument("--per-subject", type=int, default=150, help="images of each")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0 for one a usable core")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        print(f"gpu_smoke: --device {arguments.device}: torch {torch.__version__} finds no GPU here", file=sys.stderr)
        return 2
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    ways = list(dict.fromkeys([("cpu", "none"), *((arguments.device, amp) for amp in ARITHMETIC)]))
    try:
        render(arguments)
        found = [{"device": device, "amp": amp, **run_way(device, amp, arguments)} for device, amp in ways]
    except VerbError as error:
        print(f"gpu_smoke: {error}", file=sys.stderr)
        return 1
    failed = [fault for row in found for fault in faults_of(row)]
    machine = machine_of(arguments)
    write_json(out / "gpu_smoke.json", {"machine": machine, "ways": found, "faults": failed})
    print(table_of(found, machine))
    for fault in failed:
        print(f"FAULT: {fault}")
    return 1 if failed else 0


def render(arguments: argparse.Namespace) -> None:
    """Faces of the space's size, unless an earlier call rendered them."""
    if not (arguments.out / "data" / "train_test_split.json").exists():
        people = ["--subjects", str(arguments.subjects), "--per-subject", str(arguments.per_subject)]
        size = ["--size", str(load_space(arguments.space).input_size), "--seed", "0", "--overwrite"]
        do(["synth", str(arguments.out / "data"), *people, *size], arguments.out / "synth.txt")


def run_way(device: str, amp: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Every stage on a device in an arithmetic; what was measured."""
    out: Path = arguments.out / f"{device.replace(':', '')}-{ARITHMETIC[amp]}"
    out.mkdir(exist_ok=True)
    log = out / "log.txt"
    data = ["--data", str(arguments.out / "data")]
    where = ["--device", device, "--threads", str(arguments.threads)]
    training = ["--epochs", str(arguments.epochs), "--batch-size", str(arguments.batch_size), "--amp", amp]
    searching = ["search", *data, *where, *training, "--space", arguments.space, "--target-macs", arguments.target_macs]
    search, resumed, tuned = (str(out / name) for name in ("search", "resumed", "finetune"))
    do([*searching, "--out", search, "--overwrite"], log)
    stopped = stop_after_an_epoch([*searching, "--out", resumed, "--overwrite"], Path(resumed), log)
    with VerbProcesses() as verbs:  # a new process, which has nothing but the checkpoint
        verbs.run([*searching, "--out", resumed, "--resume"], log)
    weights = ["--weights", str(out / "search" / "weights.safetensors")]
    do(["finetune", "--arch", search, *weights, *data, *where, *training, "--out", tuned, "--overwrite"], log)
    for each in dict.fromkeys([device, "cpu"]):
        own = ["--device", each, "--out", str(out / f"test-on-{each.replace(':', '')}"), "--overwrite"]
        do(["evaluate", "--model", tuned, *data, *own, "--threads", str(arguments.threads)], log)
    do(["export", "--model", tuned, *data, "--out", str(out / "gaze.onnx")], log)
    return measured(out, device) | {"stopped": stopped}


def do(words: Sequence[str], log: Path) -> None:
    """Runs a verb in this process, which has already loaded everything; what it says is added to the log.

    Raises:
        VerbError: where it ends with another status than 0.
    """
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        status = gazenas_main([*words])
    if status:
        raise VerbError(f"gazenas {' '.join(words)} ended with status {status}; see {log}")


def stop_after_an_epoch(words: Sequence[str], run: Path, log: Path) -> bool:
    """Runs a training and stops it after its first epoch as Ctrl-C does; whether it was stopped before its end.

    Raises:
        VerbError: where it ended badly by itself.
    """
    (run / "metrics.csv").unlink(missing_ok=True)  # of an earlier call
    with log.open("ab") as file:
        process = subprocess.Popen([sys.executable, "-m", "gazenas", *words], stdout=file, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + STOP_SECONDS
        while process.poll() is None and not (run / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        status = process.wait()
    if status not in (0, 128 + signal.SIGINT):
        raise VerbError(f"{' '.join(words)} ended with status {status}; see {log}")
    return status != 0


def measured(out: Path, device: str) -> dict[str, Any]:
    """What the verbs wrote."""
    search, tuned = rows_of(out / "search" / "metrics.csv"), rows_of(out / "finetune" / "metrics.csv")
    summary = read(out / "search")
    answers = {each: answers_of(out / f"test-on-{each.replace(':', '')}") for each in (device, "cpu")}
    same = ("arch.json", "weights.safetensors")
    return {
        "search_images_per_second": rate(search),
        "finetune_images_per_second": rate(tuned),
        "supernet_macs": summary["supernet_macs"],
        "macs": summary["macs"],
        "target_macs": summary["target_macs"],
        "resumed_same": all(
            (out / "search" / name).read_bytes() == (out / "resumed" / name).read_bytes() for name in same
        ),
        "test_error_deg": read(out / f"test-on-{device.replace(':', '')}")["test_error_deg"],
        "mean_predictor_error_deg": read(out / "finetune")["mean_predictor_error_deg"],
        "most_apart_from_cpu_deg": float(angular_error(answers[device], answers["cpu"]).max()),
        "onnx_bytes": (out / "gaze.onnx").stat().st_size,
    }


def rate(rows: Sequence[dict[str, str]]) -> float:
    """Median images a second, without the first epoch, in which a device warms up."""
    return float(np.median([float(row["images_per_second"]) for row in rows[1:]]))


def faults_of(row: dict[str, Any]) -> list[str]:
    """What did not hold of one way."""
    way = f"{row['device']} in {ARITHMETIC[row['amp']]}"
    checks = {
        f"found {row['macs']:,} MACs for a budget of {row['target_macs']:,}": row["macs"] <= row["target_macs"],
        f"no shrink: {row['macs']:,} MACs, as the supernet": row["macs"] < row["supernet_macs"],
        "what was stopped and gone on with ended in other bytes": row["resumed_same"],
        "the search ended before it could be stopped: give it more epochs": row["stopped"],
        f"its answers are up to {row['most_apart_from_cpu_deg']:.3f} degrees from the CPU's": row[
            "most_apart_from_cpu_deg"
        ]
        <= MOST_APART,
        f"an error of {row['test_error_deg']:.2f} degrees": np.isfinite(row["test_error_deg"]),
    }
    return [f"{way}: {text}" for text, holds in checks.items() if not holds]


def table_of(found: Sequence[dict[str, Any]], machine: dict[str, Any]) -> str:
    """Markdown: a row a way, rates beside those of the CPU in float32."""
    base = found[0]
    titles = ["device", "arithmetic", "search, images/s", "fine-tuning, images/s", "found MACs", "resumed: same bytes"]
    titles += ["test error", "from the CPU's answers, at most"]
    lines = ["| " + " | ".join(titles) + " |", "| " + " | ".join(["---"] * len(titles)) + " |"]
    for row in found:
        rates = (
            f"{row[key]:,.0f} ({row[key] / base[key]:.1f}x)"
            for key in ("search_images_per_second", "finetune_images_per_second")
        )
        cells = [row["device"], ARITHMETIC[row["amp"]], *rates, f"{row['macs']:,}", str(row["resumed_same"]).lower()]
        cells += [f"{row['test_error_deg']:.2f}", f"{row['most_apart_from_cpu_deg']:.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    note = ", ".join(f"{key} {value}" for key, value in machine.items())
    return "\n".join([*lines, "", f"{note}; errors in degrees"])


def machine_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The processor, the GPU, torch's version."""
    gpu = "none" if arguments.device == "cpu" else torch.cuda.get_device_name(arguments.device)
    processor, threads = describe_machine(0)["processor"], arguments.threads or usable_cores()
    return {"gpu": gpu, "processor": processor, "threads": threads, "torch": str(torch.__version__)}


def read(run: Path) -> dict[str, Any]:
    """``summary.json`` of a run."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return summary


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answers_of(run: Path) -> np.ndarray[Any, Any]:
    """``(N, 2)`` pitch and yaw that an evaluation wrote."""
    rows = rows_of(run / "predictions_test.csv")
    return np.array([[float(row["pitch"]), float(row["yaw"])] for row in rows])


if __name__ == "__main__":
    sys.exit(main())
