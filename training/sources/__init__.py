"""Where the training data come from: one module per data set, one for fetching packages."""
