"""Measures how long the operators of a search space take in onnxruntime, for ``gazenas search --latency-table``.

On the machine that searches, for itself:

    python tools/measure_latency.py --space gazenas_tiny --out table.json

For another board, which needs this repository, numpy and onnxruntime, but neither torch nor onnx:

    python tools/measure_latency.py --space gazenas_tiny --write-kit kit.zip     # here
    python tools/measure_latency.py --kit kit.zip --out table.json               # there
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the board has no gazenas installed

from gazenas.export.timing import measure_kit


def main() -> int:
    """Writes a kit, or measures one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--space", help="name or YAML file of a search space; needs torch and onnx")
    source.add_argument("--kit", type=Path, help="kit of --write-kit")
    parser.add_argument("--write-kit", type=Path, help="only write the kit, to be measured elsewhere")
    parser.add_argument("--out", type=Path, help="table to write (JSON)")
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime (default: 1)")
    arguments = parser.parse_args()
    if (arguments.write_kit is None) == (arguments.out is None) or (arguments.kit and not arguments.out):
        parser.error("expected --out, or --space with --write-kit")
    with tempfile.TemporaryDirectory() as aside:
        kit = arguments.kit or arguments.write_kit or Path(aside) / "kit.zip"
        if arguments.space:
            from gazenas.costs.latency.measurement import space_models, write_kit
            from gazenas.models.zoo import load_space

            write_kit(space_models(load_space(arguments.space)), kit)
        if arguments.out is None:
            print(f"{kit}: {kit.stat().st_size:,} bytes; measure it with --kit {kit.name} --out table.json")
            return 0
        try:
            table = measure_kit(kit, threads=arguments.threads, on_model=show)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    arguments.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"\n{arguments.out}: {len(table['ms'])} models on {table['machine']['processor']}")
    return 0


def show(done: int, total: int) -> None:
    """A line that counts."""
    if sys.stderr.isatty() or done == total:
        sys.stderr.write(f"\rmeasured {done} of {total}")


if __name__ == "__main__":
    sys.exit(main())
