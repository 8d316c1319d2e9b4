"""The verbs, one a file: read arguments, call the library, print."""
