"""What a network predicts, one task a file: loss, error, and what the simplest predictors reach."""
