"""Client of perceiver-server."""
