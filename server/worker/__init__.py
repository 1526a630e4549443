"""The worker: a child process that owns one device and the models on it."""
