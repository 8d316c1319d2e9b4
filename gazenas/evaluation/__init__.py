"""What trained networks are worth: errors and intervals, protocols of published data sets, comparisons, personal
calibration."""
