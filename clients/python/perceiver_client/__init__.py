"""Client of perceiver-server: REST and gRPC behind one interface, blocking and async."""

from perceiver_client.client import AsyncClient, Client
from perceiver_client.errors import PerceiverError
from perceiver_client.results import Fill, Label, Model

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "Fill", "Label", "Model", "PerceiverError"]
