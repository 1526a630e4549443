"""`buildah inspect --type image IMAGE | python3 layers.py`: the layers' sizes, base first."""

from __future__ import annotations

import json
import sys

image = json.load(sys.stdin)
layers = [layer["size"] for layer in json.loads(image["Manifest"])["layers"]]
made = [step["created_by"] for step in image["OCIv1"]["history"] if not step.get("empty_layer")]
lines = [f"{size / 1e6:8.1f} MB  {by[:80]}" for size, by in zip(layers, made, strict=True)]
sys.stdout.write("\n".join([*lines, f"{sum(layers) / 1e6:8.1f} MB  in all", ""]))
