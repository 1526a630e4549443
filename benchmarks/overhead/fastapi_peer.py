"""A plain FastAPI endpoint under uvicorn: `fastapi_peer.py PORT`.  One process, no promises."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Request(BaseModel):
    inputs: str


@app.post("/predict")
async def predict(request: Request) -> dict[str, float]:
    return {"output": 1.0}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
