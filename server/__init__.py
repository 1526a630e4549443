"""The inference server: everything that waits, refuses, counts or speaks."""
