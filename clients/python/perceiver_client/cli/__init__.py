"""`perceiver`: a server's answers in a terminal.  Needs the extra `cli`."""

import sys

try:
    import click  # noqa: F401  # only looked for
except ImportError:
    sys.exit("the command needs click: pip install click")

from perceiver_client.cli.commands import main
from perceiver_client.cli.multimodal_autoencoding import multimodal_autoencoding
from perceiver_client.cli.optical_flow import optical_flow

__all__ = ["main"]

main.add_command(optical_flow)
main.add_command(multimodal_autoencoding)
