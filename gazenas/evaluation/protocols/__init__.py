"""How the users of a published data set train and test on it."""
