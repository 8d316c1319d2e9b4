"""What is wrong with a data folder, and what its files say of themselves."""
