"""`python -m perceiver_client` is `perceiver`."""

from perceiver_client.cli import main

main()
