"""The loop and what a search and a fine-tuning share: recipes, optimizers, schedules, checkpoints, run folders,
processes, signals."""
