"""The package perceiver of the protocol definitions."""
