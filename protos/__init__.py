"""Protocol definitions, and the Python messages made from them by `make proto`."""
