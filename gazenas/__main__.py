"""The table of verbs: ``gazenas VERB`` or ``python -m gazenas VERB``."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

from gazenas.errors import InputError, RankDiedError, StoppedError, did_you_mean

VERBS = {
    "synth": "render faces with known gaze, in ETH-XGaze's layout",
    "data": "look at data, check it, prepare it, normalize it (show, check, prepare, normalize)",
    "search": "search a network of a stated size",
    "finetune": "train an architecture, from the search's weights or fresh ones",
    "evaluate": "measure angular errors on a split",
    "protocol": "fine-tune and test as a data set's users do",
    "calibrate": "adapt a model to a person, and say whether it helped",
    "compare": "put networks side by side: size, latency, memory, error",
    "benchmark": "time networks in one process, turn by turn",
    "latency": "measure a search space's layers on this machine or another, for a budget of milliseconds",
    "predict": "say where the people in photos and films look",
    "collect": "a page that takes a person's pictures at dots on the screen, and shows where they look",
    "screen": "say where a screen stands before its camera, for predict --screen",
    "export": "write a verified ONNX file",
    "prune": "make a trained network smaller: weights, channels or layers leave, the rest trains on",
    "compress": "make a trained network's file smaller: pruned, distilled, int8, coded",
    "report": "a page about one run or several: one HTML file",
    "doctor": "what this machine has, what which verb lacks, and a short self-test",
    "ls": "everything that goes by a name: models, spaces, data sets, tasks",
    "completion": "a script by which a shell completes verbs, flags and names",
    "summary": "MACs, parameters, and what survived in each block",
}

# Of modules that a verb may lack, the extra that brings them.
EXTRAS = {
    "ai_edge_litert": "faces",
    "cv2": "video",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "tensorboardX": "tensorboard",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one verb.

    Returns:
        0, 2 where something given was wrong, 128 and the signal's number after an interruption; faults of the program
        itself leave a traceback and status 1.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write("usage: gazenas VERB [arguments]; gazenas VERB --help explains one\n\n")
        sys.stdout.write("".join(f"  {verb:10} {text}\n" for verb, text in VERBS.items()))
        return 0
    if argv[0] == "--version":
        sys.stdout.write(f"gazenas {importlib.metadata.version('gazenas')}\n")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        return _refuse(f"unknown verb {verb!r}{did_you_mean(verb, VERBS)}: expected one of {', '.join(VERBS)}")
    try:
        command = importlib.import_module(f"gazenas.commands.{verb}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("gazenas"):
            raise
        return _refuse(f"{verb} needs {error.name}: pip install 'gazenas[{EXTRAS.get(error.name or '', 'search')}]'")
    try:
        command.run(argv[1:])
    except InputError as error:
        return _refuse(str(error))
    except RankDiedError as error:
        _refuse(str(error))
        return 1
    except StoppedError as stopped:
        _refuse(str(stopped))
        return 128 + stopped.signal
    except ModuleNotFoundError as error:
        return _refuse(f"{verb} needs {error.name}: pip install 'gazenas[{EXTRAS.get(error.name or '', 'all')}]'")
    except OSError as error:
        return _refuse(
            f"{error.filename or 'writing'}: {error.strerror or error}; nothing that was there before is harmed"
        )
    except KeyboardInterrupt:
        _refuse("interrupted; what was saved is whole, and --resume goes on with it where the verb has that flag")
        return 130
    return 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"gazenas: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
