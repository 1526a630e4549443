"""The first sentence of the Universal Declaration of Human Rights in the languages of
tiny-language-id (United Nations; its texts may be reproduced freely)."""

import json
from pathlib import Path

SENTENCES: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "data" / "sentences.json").read_text(encoding="utf-8")
)
