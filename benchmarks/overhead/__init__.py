"""What a server costs when its model does nothing: ours, plain FastAPI, LitServe.

python -m benchmarks.overhead
"""
