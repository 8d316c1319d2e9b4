"""Milliseconds of onnxruntime: a table, how it is measured, and the cost that follows from it."""
