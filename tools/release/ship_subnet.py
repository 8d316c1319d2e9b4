"""Puts a trained subnet and its card into the package, under a name.

    python tools/release/ship_subnet.py NAME --search RUN [--finetune RUN] --data DIR
    python tools/release/ship_subnet.py NAME --of SUBNET --finetune RUN --data DIR [--also TEXT]

The second form ships other weights of an architecture that is shipped already. The card says how the subnet was made
and what was measured; its first line says that it was trained on rendered faces.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml

from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.evaluation.comparison import candidates, write_onnx
from gazenas.evaluation.robustness import PATCH_CHANGES, worst_error
from gazenas.export.footprint import interleaved_latency
from gazenas.export.timing import describe_machine
from gazenas.models.zoo import load_model

LIMIT = 5_000_000  # bytes of weights that a package may hold
FOLDER = Path(__file__).parents[2] / "gazenas" / "models" / "subnets"


def words(run: Path, keys: tuple[str, ...]) -> str:
    """Some arguments of a run as they stood on its command line."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return " ".join(f"--{key.replace('_', '-')} {config[key]}" for key in keys if config.get(key))


def rendering(folder: Path) -> str:
    """The command whose faces a folder holds, but for how many."""
    rendered = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["rendered"]
    return f"`gazenas synth --renderer {rendered['renderer']} --seed {rendered['seed']}`"


def card(name: str, search: Path, tuned: Path, data_folder: Path) -> str:
    """The card's text; ``tuned`` is the search itself where nothing followed it."""
    found, summary = (json.loads((run / "summary.json").read_text(encoding="utf-8")) for run in (search, tuned))
    config = yaml.safe_load((search / "config.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as aside:
        (each,) = candidates([str(tuned)], retrain=False, input_size=0)
        path = Path(aside) / "gaze.onnx"
        write_onnx(each, path)
        size = path.stat().st_size
        taken = interleaved_latency({name: (path, each.input_size)}, threads=1, repeats=50)[name]
    data = summary["data"]
    people, images = data["people"], data["images"]
    machine = describe_machine(1)
    split, network = open_data(data_folder, Reading()).split("test"), load_model(tuned)
    moved = ", ".join(f"{change} {worst_error(network, split, change):.2f}" for change in list(PATCH_CHANGES)[1:])
    tuning = (
        "none"
        if tuned == search
        else (
            f"`gazenas finetune {words(tuned, ('epochs', 'batch_size', 'lr', 'decay', 'augment', 'seed'))}`, "
            f"{summary['seconds'] / 60:.0f} minutes"
        )
    )
    budget = words(search, ("target_macs", "target_params", "target_size", "targets"))
    how = words(search, ("epochs", "batch_size", "lr", "augment", "amp", "seed"))
    who = "person" if people["test"] == 1 else "people"
    seen = f"{people['train']} people and {images['train']:,} images to train on, {people['val']} to validate"
    error = f"{summary['test_error_deg']:.2f} degrees on {images['test']:,} rendered images of {people['test']} {who}"
    beside = (
        f"whom it never saw; always answering the training mean: {summary['mean_predictor_error_deg']:.2f}; "
        f"best linear from head pose: {summary['head_pose_error_deg']:.2f}"
    )
    timed = f"one thread of {machine['processor']}, onnxruntime {machine['onnxruntime']}"
    digest = hashlib.sha256((tuned / "weights.safetensors").read_bytes()).hexdigest()
    minutes = f"{found['seconds'] / 60:.0f} minutes"
    return f"""Trained on rendered faces; its error on real faces is not measured.

# {name}

| | |
| --- | --- |
| space | `{config["space"]}`, {each.input_size} pixels |
| search | `gazenas search --space {config["space"]} {budget} {how}`, {minutes} |
| fine-tuning | {tuning} |
| data | {rendering(data_folder)}, {seen} |
| MACs | {summary["macs"]:,} |
| parameters | {summary["params"]:,} |
| error | {error} {beside} |
| error where the face is off in its patch | {moved} |
| ONNX file | {size:,} bytes |
| latency | {np.median(taken):.2f} ms an image, median of 50 on {timed} |
| fingerprint | {summary["fingerprint"]} |
| weights | SHA-256 {digest} |
"""


def other_weights(name: str, of: str, tuned: Path, data_folder: Path, also: str) -> str:
    """The card of a subnet that has the architecture of another one; ``also`` says what else it was trained on."""
    summary = json.loads((tuned / "summary.json").read_text(encoding="utf-8"))
    split, network = open_data(data_folder, Reading()).split("test"), load_model(tuned)
    error, *moved = (f"{change} {worst_error(network, split, change):.2f}" for change in PATCH_CHANGES)
    how = words(tuned, ("epochs", "batch_size", "lr", "augment", "seed"))
    people, images = summary["data"]["people"], summary["data"]["images"]
    digest = hashlib.sha256((tuned / "weights.safetensors").read_bytes()).hexdigest()
    seen = f"{people['train']} people and {images['train']:,} images to train on{also}, {people['val']} to validate"
    never = f"on {len(split):,} images of {len(split.people)} people of the same renderer whom it never saw"
    took = f"{summary['seconds'] / 60:.0f} minutes"
    return f"""Trained on rendered faces; its error on real faces is not measured but on a few portraits.

# {name}

| | |
| --- | --- |
| space | `{network.architecture().space.name}`, {network.input_size} pixels |
| architecture | that of `{of}` |
| fine-tuning | `gazenas finetune --arch {of} --weights default {how}`, {took} |
| data | {rendering(data_folder)}, {seen} |
| MACs | {summary["macs"]:,} |
| parameters | {summary["params"]:,} |
| error | {error.split()[-1]} degrees {never} |
| error where the face is off in its patch | {", ".join(moved)} |
| fingerprint | {summary["fingerprint"]} |
| weights | SHA-256 {digest} |
"""


def main() -> None:
    """Copies and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--search", type=Path, help="run folder of the search")
    parser.add_argument("--of", default="", help="shipped subnet whose architecture it has, instead of a search")
    parser.add_argument("--also", default="", help="what it was trained on besides, for the card")
    parser.add_argument("--finetune", type=Path, help="run folder of the fine-tuning, where one followed")
    parser.add_argument("--data", type=Path, required=True, help="data folder whose test people the card tells about")
    arguments = parser.parse_args()
    if bool(arguments.search) == bool(arguments.of) or not (arguments.search or arguments.finetune):
        raise SystemExit("expected --search RUN, or --of SUBNET with --finetune RUN")
    arguments.finetune = arguments.finetune or arguments.search
    weights = arguments.finetune / "weights.safetensors"
    if weights.stat().st_size > LIMIT:
        raise SystemExit(f"{weights}: expected at most {LIMIT:,} bytes, found {weights.stat().st_size:,}")
    FOLDER.mkdir(exist_ok=True)
    if arguments.of:
        text = other_weights(arguments.name, arguments.of, arguments.finetune, arguments.data, arguments.also)
    else:
        text = card(arguments.name, arguments.search, arguments.finetune, arguments.data)
    shutil.copyfile(arguments.finetune / "arch.json", FOLDER / f"{arguments.name}.json")
    shutil.copyfile(weights, FOLDER / f"{arguments.name}.safetensors")
    (FOLDER / f"{arguments.name}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
