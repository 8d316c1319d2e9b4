"""``gazenas doctor``: what this machine has, what which verb lacks, and whether training, export and runtime work.

It needs the base installation alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.metadata
import os
import pkgutil
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from gazenas import commands
from gazenas.errors import InputError, did_you_mean
from gazenas.gaze import angular_error
from gazenas.models.zoo import GazeModel, build_model, list_subnets
from gazenas.training.checkpoint import package_version

NETWORK, STEPS, AGREES = "handmade-5m", 12, 0.01  # what is trained, for how long, and degrees that a file may differ


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = argparse.ArgumentParser(
        prog="gazenas doctor",
        description="Says what this machine has, which packages which verb lacks, and tries training, export and "
        "runtime for a few seconds. Ends with status 2 where something that is installed does not work.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--verbs", type=str, default="", help="names of verbs, comma separated; all without it")
    asked = [verb for verb in parser.parse_args(argv).verbs.split(",") if verb]
    _say("machine", machine())
    _say("packages", packages())
    _say("verbs", verbs(asked))
    tried = self_test()
    _say("self-test", [(name, words) for name, words, _ in tried])
    broken = [name for name, _, works in tried if not works]
    if broken:
        raise InputError(f"doctor: expected everything to work, found trouble with {', '.join(broken)}: see above")


def machine() -> list[tuple[str, str]]:
    """Of the processor, Python and torch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return [
        ("system", platform.platform()),
        ("python", sys.version.split()[0]),
        ("gazenas", package_version()),
        ("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        ("instructions", torch.backends.cpu.get_cpu_capability()),
        ("cores", str(cores)),
        ("GPUs", ", ".join(gpus) or "none"),
    ]


def packages() -> list[tuple[str, str]]:
    """Version of each package that gazenas may use, by the extra that installs it."""
    rows = []
    for line in importlib.metadata.requires("gazenas") or []:
        name, _, marker = line.partition(";")
        extra = re.search(r"extra == [\"'](.+?)[\"']", marker)
        package = re.split(r"[\[<>=!~ ]", name.strip())[0]
        if package == "gazenas":
            continue
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = f"absent: pip install 'gazenas[{extra.group(1)}]'" if extra else "absent: pip install gazenas"
        rows.append((f"{package} ({extra.group(1)})" if extra else package, found))
    return rows


def verb_names() -> list[str]:
    """Every verb, by the files of this folder."""
    return [each.name for each in pkgutil.iter_modules(commands.__path__) if not each.name.startswith("_")]


def verbs(asked: Sequence[str]) -> list[tuple[str, str]]:
    """Whether each verb can begin."""
    known = verb_names()
    unknown = [verb for verb in asked if verb not in known]
    if unknown:
        near = did_you_mean(unknown[0], known)
        raise InputError(f"--verbs: expected some of {', '.join(known)}, found {unknown[0]!r}{near}")
    rows = []
    for verb in asked or known:
        try:
            importlib.import_module(f"gazenas.commands.{verb}")
        except ModuleNotFoundError as error:
            rows.append((verb, f"lacks {error.name}: pip install 'gazenas[all]'"))
        else:
            rows.append((verb, "ready"))
    return rows


def self_test() -> list[tuple[str, str, bool]]:
    """Name, what happened, and whether it is well, of each trial; a trial that lacks a package is well."""
    torch.manual_seed(0)
    network = build_model(NETWORK)
    with tempfile.TemporaryDirectory() as aside:
        trials: list[tuple[str, Callable[[], str]]] = [
            ("shipped weights", _shipped),
            ("training", lambda: _train(network)),
            ("export and runtime", lambda: _export(network, Path(aside) / "gaze.onnx")),
        ]
        return [(name, *_tried(trial)) for name, trial in trials]


def _tried(trial: Callable[[], str]) -> tuple[str, bool]:
    begun = time.perf_counter()
    try:
        words = trial()
    except ModuleNotFoundError as error:
        return f"not tried: {error.name} is absent", True
    except Exception as error:  # whatever a broken installation does is what a person wants to read
        return f"FAILS: {type(error).__name__}: {error}", False
    return f"{words}, {time.perf_counter() - begun:.1f} s", True


def _shipped() -> str:
    """Every shipped subnet's weights must have the hash that its card says."""
    folder = files("gazenas").joinpath("models").joinpath("subnets")
    for name in list_subnets():
        card = folder.joinpath(f"{name}.md").read_text(encoding="utf-8")
        found = hashlib.sha256(folder.joinpath(f"{name}.safetensors").read_bytes()).hexdigest()
        if f"| weights | SHA-256 {found} |" not in card:
            raise ValueError(f"expected the SHA-256 that the card of {name} says, found {found}: install gazenas anew")
    return f"{len(list_subnets())} as their cards say"


def _train(network: GazeModel) -> str:
    """A few steps on noise whose loss must fall."""
    network.train()
    size = network.input_size
    images, gaze = torch.randn(16, 3, size, size), torch.randn(16, 2) / 3
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(STEPS):
        loss = F.l1_loss(network(images), gaze)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    if not losses[-1] < losses[0]:
        raise ArithmeticError(f"expected a loss that falls, found {losses[0]:.4f} to {losses[-1]:.4f}")
    return f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {STEPS} steps"


def _export(network: GazeModel, path: Path) -> str:
    """The ONNX file must answer what torch does."""
    from gazenas.export.onnx import onnx_bytes
    from gazenas.export.runtime import GazeEstimator

    network.eval()
    path.write_bytes(onnx_bytes(network))
    estimator = GazeEstimator(path)
    size = network.input_size
    faces = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(estimator.normalize(faces))).numpy()
    apart = float(angular_error(estimator(faces).astype(np.float64), expected.astype(np.float64)).max())
    if not apart < AGREES:
        raise ArithmeticError(f"expected answers within {AGREES} degrees of torch's, found {apart:.4f}")
    return f"{path.stat().st_size:,} bytes, {apart:.6f} degrees from torch"


def _say(title: str, rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    sys.stdout.write(f"\n{title}\n" + "".join(f"  {name:{width}}  {words}\n" for name, words in rows))
