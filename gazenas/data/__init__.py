"""Images and gaze: the data set, its loader, augmentation, preparation; one published data set a file in
``readers``."""
