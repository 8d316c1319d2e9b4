"""Two processes: the same network on both, the same gradient as alone, one that dies, exact evaluation."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.data.loader import Loader
from gazenas.data.readers import open_data
from gazenas.models.network import Network
from gazenas.models.zoo import load_model
from gazenas.tasks.gaze import gaze_loss
from gazenas.training.processes import ALONE
from tests.running import MICRO, TUNE, Once, metrics, search

GRADIENT = """
import sys, torch
from pathlib import Path
from gazenas.data.readers import open_data
from gazenas.data.loader import Loader
from gazenas.training.processes import joined
from gazenas.tasks.gaze import gaze_loss
from gazenas.models.zoo import build_supernet, load_space
torch.set_num_threads(1)
data, space, weights, out = sys.argv[1:]
with joined("cpu") as world:
    network = build_supernet(load_space(space))
    network.load_state_dict(torch.load(weights, weights_only=True))
    model = world.wrap(network.eval())
    batch = next(Loader(open_data(Path(data)).split("train"), 15, 0, train=True, rank=world.rank,
    processes=world.size).epoch(0))
    (gaze_loss(model(batch.images), batch.labels) * batch.weight).backward()
    torch.save([p.grad for p in network.parameters()], f"{out}.{world.rank}")
"""
# Every process writes what it holds in the end.
HOLDS = """
import hashlib, json, os, sys
import gazenas.search.searching as job
run = job.Search.run
def noted(search):
    network = run(search)
    def digest(module):
        return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in module.parameters())).hexdigest()
    held = {"live": digest(search.network), "average": digest(search.average.module), "frozen": digest(network),
            "arch": search.network.architecture().fingerprint()}
    open(os.environ["HELD"] + os.environ["RANK"], "w").write(json.dumps(held))
    return network
job.Search.run = noted
from gazenas.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
# One process runs out of memory in its third step.
FAILS = """
import os, sys, torch
from gazenas.training.trainer import Trainer
after_step = Trainer.after_step
def failing(trainer):
    if trainer.clock.steps == 3 and os.environ["RANK"] == os.environ["VICTIM"]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    after_step(trainer)
Trainer.after_step = failing
from gazenas.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


def start(count: int, words: list[str], **more: str) -> list[subprocess.Popen[str]]:
    """What torchrun does, without its supervision."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    shared |= {"LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"} | more
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    return [(process.wait(600), *process.communicate()) for process in processes]  # type: ignore[misc]


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_averaged_gradient_is_that_of_one_process(
    micro_net: Network, data_folder: Path, tmp_path: Path, count: int
) -> None:
    """With BatchNorm in eval mode, and a batch that does not divide evenly."""

    torch.save(micro_net.state_dict(), tmp_path / "weights.pt")
    words = ["-c", GRADIENT, str(data_folder), str(MICRO), str(tmp_path / "weights.pt"), str(tmp_path / "grad")]
    for status, _, said in finish(start(count, words)):
        assert status == 0, said
    split = open_data(data_folder).split("train")
    batch = next(Loader(split, 15, 0, train=True).epoch(0))
    gaze_loss(micro_net.eval()(batch.images), batch.labels).backward()
    expected = [p.grad for p in micro_net.parameters()]
    largest = max(float(grad.abs().max()) for grad in expected if grad is not None)
    for rank in range(count):
        found = torch.load(tmp_path / f"grad.{rank}", weights_only=True)
        worst = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
        assert worst <= 1e-5 * largest


@pytest.fixture(scope="module")
def pair(data_folder: Path, once: Once) -> tuple[Path, Path]:
    """A search by two processes, and where they wrote what they hold."""

    def make(place: Path) -> None:
        place.mkdir()
        words = ["-c", HOLDS, *search(data_folder, place / "run")]
        for status, _, said in finish(start(2, words, HELD=str(place / "held"))):
            assert status == 0, said

    place = once("pair", make)
    return place / "run", place


def test_both_processes_hold_the_same_network_and_one_writes(pair: tuple[Path, Path]) -> None:
    run, place = pair
    held = [json.loads((place / f"held{rank}").read_text()) for rank in range(2)]
    assert held[0] == held[1]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["fingerprint"] == held[0]["arch"]
    assert len((run / "metrics.csv").read_text().splitlines()) == 6
    assert (run / "log.txt").read_text().count("epoch 1/5") == 1


def test_evaluation_over_processes_is_exact(pair: tuple[Path, Path], data_folder: Path) -> None:
    run, _ = pair
    from gazenas.evaluation.errors import evaluate_predictions
    from gazenas.training.loop import predict

    split = open_data(data_folder).split("test")
    found = predict(load_model(run), Loader(split, 128, 0, train=False).epoch(0))
    expected = json.loads((run / "summary.json").read_text())["test_error_deg"]
    assert evaluate_predictions(found, split).mean == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_the_same_again_and_near_to_one_process(
    pair: tuple[Path, Path], found: Path, data_folder: Path, tmp_path: Path
) -> None:
    """Two processes repeat themselves to the byte; against one, BatchNorm sees half batches, so errors only come
    near."""
    run, _ = pair
    for status, _, said in finish(start(2, ["-m", "gazenas", *search(data_folder, tmp_path / "again")])):
        assert status == 0, said
    for name in ("arch.json", "weights.safetensors"):
        assert (run / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert metrics(run) == metrics(tmp_path / "again")
    errors = [json.loads((folder / "summary.json").read_text())["val_error_deg"] for folder in (run, found)]
    assert abs(errors[0] - errors[1]) < 0.25 * errors[1]


@pytest.mark.slow
def test_two_processes_fine_tune(pair: tuple[Path, Path], data_folder: Path, tmp_path: Path) -> None:
    run, _ = pair
    words = ["-m", "gazenas", "finetune", "--arch", str(run), "--weights", str(run / "weights.safetensors"), *TUNE]
    words += ["--data", str(data_folder), "--epochs", "1"]
    for out in ("one", "two"):
        for status, _, said in finish(start(2, [*words, "--out", str(tmp_path / out)])):
            assert status == 0, said
    one, two = ((tmp_path / out / "weights.safetensors").read_bytes() for out in ("one", "two"))
    assert one == two != (run / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_of_two_goes_on_alone_and_says_what_changes(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gazenas.__main__ import main

    out = tmp_path / "run"
    processes = start(2, ["-m", "gazenas", *search(data_folder, out)])
    wait_for_epoch(out, processes)
    processes[0].send_signal(signal.SIGTERM)
    for status, _, said in finish(processes):
        assert status == 128 + signal.SIGTERM, said
    assert main(search(data_folder, out, "--resume")) == 0
    assert "the run had 2 processes, now there are 1" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_when_one_process_dies_the_other_stops_with_its_name(data_folder: Path, tmp_path: Path, victim: int) -> None:
    out = tmp_path / "run"
    processes = start(2, ["-m", "gazenas", *search(data_folder, out, "--epochs", "200", "--save-minutes", "0")])
    wait_for_epoch(out, processes)
    processes[victim].kill()
    status, _, said = finish([processes[1 - victim]])[0]
    assert status == 1, said
    assert f"rank {victim}" in said.splitlines()[-1]
    assert "died" in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_of_one_process_is_not_blamed_on_another(data_folder: Path, tmp_path: Path, victim: int) -> None:
    """Its own text is on its terminal, and in the log where it writes one; the other one says who failed and with what.

    As under torchrun, whose store outlives the processes.
    """
    out, port = tmp_path / "run", free_port()
    store = torch.distributed.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    more = {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True", "VICTIM": str(victim)}
    ended = finish(start(2, ["-c", FAILS, *search(data_folder, out)], **more))
    del store
    own, other = ended[victim], ended[1 - victim]
    assert own[0] == other[0] == 1
    assert own[2].rstrip().endswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    assert "died" not in own[2] + other[2]
    last = other[2].splitlines()[-1]
    assert f"rank {victim} (process " in last
    assert "failed with OutOfMemoryError: CUDA out of memory." in last
    assert f"rank {1 - victim} stops (RuntimeError: " in last
    log = (out / "log.txt").read_text()
    assert log.count("Traceback") == 1
    assert ("CUDA out of memory" if victim == 0 else "Connection closed") in log


def wait_for_epoch(out: Path, processes: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        if (out / "log.txt").exists() and "epoch 1/" in (out / "log.txt").read_text():
            return
        time.sleep(0.02)
    raise AssertionError([process.communicate() for process in processes if process.poll() is not None])


def test_alone_everything_stays_as_it_is() -> None:
    values = torch.arange(3.0)
    assert ALONE.sum(values) is values
    assert ALONE.agree(True, False) == [True, False]
    assert ALONE.take({"a": 1}) == {"a": 1}
    network = torch.nn.Linear(2, 2)
    assert ALONE.wrap(network) is network
    assert np.isfinite(values.numpy()).all()
