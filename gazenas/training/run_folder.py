"""The run folder: what every training verb leaves behind, each file whole at any moment."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors.torch import save

from gazenas.data.dataset import GazeSplit
from gazenas.errors import InputError, StoppedError
from gazenas.files import write_aside, write_csv, write_json, write_records
from gazenas.models.zoo import GazeModel
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task
from gazenas.training.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from gazenas.training.locking import hold

QUANTIZATION = "quantization.json"  # of a quantization-aware training
OVERWRITTEN = ".overwritten"  # what an old run left, until all of it is gone
# What may differ between a run and its resumption without changing what it computes.
FREE_KEYS = frozenset(
    {
        "out",
        "resume",
        "overwrite",
        "config",
        "dry_run",
        "workers",
        "threads",
        "save_minutes",
        "recorded",
        "allow_seen_people",
        "tensorboard",
        "log_json",
    }
)


class RunFolder:
    """A folder that one verb fills: ``config.yaml``, ``arch.json``, ``weights.safetensors``, ``metrics.csv``,
    ``summary.json``, ``plots/``, ``log.txt`` and ``checkpoint/``.

    Use it in a ``with`` block, which keeps other processes out; the lock dies with the process. What ends the block
    before its end is logged.

    Args:
        path: created where absent.
        verb: whose run it is.
        resume: an existing run is gone on with.
        overwrite: an existing run of the same verb is removed, once :meth:`resolve_config` says that all is well.
        main: whether this process writes; the others of a distributed run only read.

    Attributes:
        notes: what differs between this resumption and the beginning of the run without changing its meaning.

    Raises:
        InputError: where the folder holds something else, or a run and neither was asked for.
    """

    def __init__(
        self, path: Path, verb: str, *, resume: bool = False, overwrite: bool = False, main: bool = True
    ) -> None:
        self.path, self.verb, self.overwrite, self.main = path, verb, overwrite and not resume, main
        self.notes: list[str] = []
        if not main:
            return
        if path.exists() and not path.is_dir():
            raise InputError(f"--out: expected a folder, found a file: {path}")
        found = [] if not path.exists() else sorted(entry.name for entry in path.iterdir())
        others = [name for name in found if name not in ("log.txt", OVERWRITTEN) and not name.endswith(".part")]
        if others and "config.yaml" not in others:
            raise InputError(
                f"--out: {path} is not empty and holds no run (but {', '.join(others[:3])}): choose another folder"
            )
        if others:
            held = self.recorded().get("recorded", {}).get("verb")
            if held != verb:
                raise InputError(f"--out: {path} holds a run of {held!r}, not of {verb!r}: choose another folder")
            if not resume and not overwrite:
                raise InputError(f"--out: {path} already holds a run: {_ways(verb)}")
        path.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> RunFolder:
        if not self.main:
            return self
        self._lock = (self.path / "log.txt").open("a", encoding="utf-8")
        if not hold(self._lock):
            self._lock.close()
            raise InputError(f"--out: another process is writing to {self.path}")
        for half in self.path.rglob(".*.part"):  # of a process that was killed while it wrote
            half.unlink()
        self._settle_overwriting()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.main:
            return
        if isinstance(error, InputError | StoppedError):
            self.log(str(error))
        elif error is not None:
            self.log("".join(traceback.format_exception(error)).rstrip())
        self._lock.close()

    def log(self, text: str) -> None:
        """Adds a line with the time to ``log.txt``."""
        if not self.main:
            return
        self._lock.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self._lock.flush()

    def resolve_config(self, config: dict[str, Any], advice: str = "use another --out") -> dict[str, Any]:
        """Writes ``config.yaml``, or, resuming, checks that the run goes on as it began.

        Args:
            config: plain values.
            advice: what to do where it did not.

        Returns:
            The configuration to use: the recorded one where there is one.

        Raises:
            InputError: naming every value that differs from the recorded one and matters.
        """
        if not self.main:
            return self.recorded()
        # What a verb records is its flags by name; other runs have settings that nobody typed.
        dashes = "--" if "recorded" in config else ""
        config = config | {"recorded": {"verb": self.verb, **config.get("recorded", {})}}
        if self.overwrite:
            self._clear()
        if not (self.path / "config.yaml").exists():
            self._write("config.yaml", yaml.safe_dump(config, sort_keys=False))
            return config
        recorded = self.recorded()
        # Older runs drew people by the seed of everything.
        recorded.setdefault("split_seed", recorded.get("seed"))
        changed = [
            f"{dashes}{key.replace('_', '-') if dashes else key} was {recorded.get(key)!r}, is {value!r}"
            for key, value in config.items()
            # a flag that is newer than the run is new
            if key not in FREE_KEYS and key in recorded and recorded[key] != value
        ]
        if changed:
            raise InputError(f"--resume: {self.path} was begun otherwise: " + "; ".join(changed) + f"; {advice}")
        surroundings = recorded.get("recorded", {})
        self.notes = [
            f"{key.replace('_', ' ')} was {surroundings.get(key)!r} when the run began, is {value!r} now: it goes on "
            f"and means "
            "the same, but its last digits may differ from those of a run that nothing interrupted"
            for key, value in config["recorded"].items()
            if surroundings.get(key) != value
        ]
        return recorded

    def recorded(self) -> dict[str, Any]:
        """What ``config.yaml`` says.

        Raises:
            InputError: where it cannot be read.
        """
        path = self.path / "config.yaml"
        try:
            recorded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: expected YAML: {error}; choose another --out") from error
        if not isinstance(recorded, dict):
            raise InputError(f"{path}: expected the configuration of a run; choose another --out")
        return recorded

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Keeps ``state`` as the newest checkpoint."""
        save_checkpoint(self.path / "checkpoint", state)

    def load_checkpoint(self) -> tuple[dict[str, Any] | None, str]:
        """The newest readable checkpoint or None, and a sentence about which it is."""
        return load_checkpoint(self.path / "checkpoint")

    def newest_checkpoint(self) -> Path | None:
        """Where the newest checkpoint lies."""
        return newest_checkpoint(self.path / "checkpoint")

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Writes ``metrics.csv``, a row an epoch."""
        if self.main:
            write_records(self.path / "metrics.csv", rows)

    def write_network(self, network: GazeModel, inside: str = "") -> None:
        """Writes ``arch.json`` and ``weights.safetensors`` of a subnet, here or in a folder inside."""
        if not self.main:
            return
        folder = self.path / inside
        folder.mkdir(parents=True, exist_ok=True)
        network.architecture().save(folder / "arch.json")
        with write_aside(folder / "weights.safetensors") as aside:
            aside.write_bytes(save({key: value.contiguous().cpu() for key, value in network.state_dict().items()}))

    def write_quantization(self, weights: str, places: list[dict[str, Any]]) -> None:
        """Writes ``quantization.json``: ranges of what each place of the network reads, in order."""
        if self.main:
            write_json(self.path / QUANTIZATION, {"weights": weights, "places": places})

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Writes ``summary.json``."""
        if self.main:
            write_json(self.path / "summary.json", values)

    def write_predictions(self, split: GazeSplit, predictions: NDArray[np.float32], task: Task = GAZE) -> Path:
        """Writes ``predictions_SPLIT.csv``: file and row, person, the task's outputs, true ones where known."""
        path, labels = self.path / f"predictions_{split.name}.csv", task.labels(split)
        true = [f"true_{name}" for name in task.outputs] if labels is not None else []
        values = predictions if labels is None else np.concatenate([predictions, labels], 1)
        rows = (
            [split.images.name(row), split.people[split.person[row]], *(f"{value:.6f}" for value in line)]
            for row, line in enumerate(values.tolist())
        )
        if self.main:
            write_csv(path, ["image", "person", *task.outputs, *true], rows)
        return path

    def plot_path(self, name: str) -> Path:
        """``plots/NAME.png``; the folder is made."""
        (self.path / "plots").mkdir(exist_ok=True)
        return self.path / "plots" / f"{name}.png"

    def _clear(self) -> None:
        """Removes what the run left, but for the log, which holds the lock: aside first, and its configuration last.

        So a kill leaves either the whole run or nothing of it, once :meth:`_settle_overwriting` has come by.
        """
        aside = self.path / OVERWRITTEN
        aside.mkdir()
        entries = [entry for entry in self.path.iterdir() if entry.name not in ("log.txt", OVERWRITTEN)]
        for entry in sorted(entries, key=lambda entry: entry.name == "config.yaml"):
            entry.rename(aside / entry.name)
        shutil.rmtree(aside)
        self._lock.truncate(0)

    def _settle_overwriting(self) -> None:
        """Undoes an overwriting that was killed before it took the configuration, or finishes one that was killed
        after."""
        aside = self.path / OVERWRITTEN
        if not aside.exists():
            return
        if (self.path / "config.yaml").exists():
            for entry in aside.iterdir():
                entry.rename(self.path / entry.name)
        shutil.rmtree(aside)

    def _write(self, name: str, text: str) -> None:
        if not self.main:
            return
        with write_aside(self.path / name) as aside:
            aside.write_text(text, encoding="utf-8")


def _ways(verb: str) -> str:
    """What can be done about a folder that holds a run."""
    again = "--overwrite starts it again"
    return again if verb == "evaluate" else f"--resume goes on with it, {again}"
