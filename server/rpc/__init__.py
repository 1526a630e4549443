"""The gRPC door: parses, calls the engine, renders.  The only package that imports grpc."""
