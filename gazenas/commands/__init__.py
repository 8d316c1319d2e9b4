"""One verb a file: read arguments, call the library, print."""
