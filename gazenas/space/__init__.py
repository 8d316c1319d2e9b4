"""Search spaces and architectures in plain numbers, and how their files are read. No torch."""
