"""Rendered faces whose gaze is known exactly: the data that gazenas carries with it."""
