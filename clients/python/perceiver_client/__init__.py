"""Client of perceiver-server: REST and gRPC behind one interface, blocking and async."""

from perceiver_client.async_client import AsyncClient
from perceiver_client.client import Client
from perceiver_client.errors import PerceiverError
from perceiver_client.frames import Chunk
from perceiver_client.results import (
    Clip,
    Fill,
    FlowField,
    Format,
    Label,
    Model,
    MultimodalResult,
    Reconstruction,
)

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Chunk",
    "Client",
    "Clip",
    "Fill",
    "FlowField",
    "Format",
    "Label",
    "Model",
    "MultimodalResult",
    "PerceiverError",
    "Reconstruction",
]
