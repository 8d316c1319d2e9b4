"""From a trained network to a verified ONNX file, and the runtime that reads it.

:mod:`gazenas.export.runtime` needs only numpy and onnxruntime; :mod:`gazenas.export.onnx` makes the files.
"""
