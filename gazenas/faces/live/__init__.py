"""A page on this machine that takes a person's pictures while they look at dots, and shows where they look."""
