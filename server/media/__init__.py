"""Untrusted bytes to pixels and samples, and results to files; runs in the media child only."""
