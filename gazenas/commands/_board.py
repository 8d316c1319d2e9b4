"""What a kit of ``gazenas latency --write-kit`` runs on a board: ``python kit.zip --out table.json`` times the models
beside this file.

It is written into the kit together with ``gazenas.export.timing``, and needs numpy and onnxruntime, but neither torch
nor gazenas.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from gazenas.export.timing import measure_kit


def time_this_kit() -> int:
    """Measures the kit that this program came in."""
    parser = argparse.ArgumentParser(
        description="Times the models of this kit in onnxruntime and writes a table for gazenas search."
    )
    parser.add_argument("--out", type=Path, required=True, help="table to write (JSON)")
    parser.add_argument(
        "--threads", type=int, default=1, help="of onnxruntime (default: 1, with which a search reckons)"
    )
    arguments = parser.parse_args()
    try:
        table = measure_kit(Path(__file__).parent, threads=arguments.threads, on_model=_count)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    aside = arguments.out.with_name(f".{arguments.out.name}.part")
    aside.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    os.replace(aside, arguments.out)
    sys.stdout.write(f"\n{arguments.out}: {len(table['ms'])} models on {table['machine']['processor']}\n")
    return 0


def _count(done: int, total: int) -> None:
    """A line that counts."""
    if sys.stderr.isatty() or done == total:
        sys.stderr.write(f"\rmeasured {done} of {total}")


if __name__ == "__main__":
    sys.exit(time_this_kit())
