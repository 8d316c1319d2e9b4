"""Cameras, head poses and normalized views of a face."""
