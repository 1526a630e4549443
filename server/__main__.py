"""`python -m server` is `perceiver-server`."""

from server.cli import main

main(prog_name="perceiver-server")
