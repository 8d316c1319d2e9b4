"""Rendered faces whose gaze is known exactly: the data that gazenas carries with it."""

from gazenas.data.synthetic.generate import generate as generate
