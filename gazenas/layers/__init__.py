"""Ordinary layers, torch's in every respect; nothing of the search."""
