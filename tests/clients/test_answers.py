"""Answers are the same values whichever way they come: compared with what REST says in JSON."""

from __future__ import annotations

import io
from random import Random
from typing import Any

import pytest
from perceiver_client import Fill, Format, Label, Model
from perceiver_client.calls import ListModels
from PIL import Image

from tests.live_server import LiveServer

TEXTS = ["a small text", "noch ein Text – mit Umlauten: äöü", "\u0000 and \U0001f600"]
MASKED = ["one [MASK][MASK] span", "[MASK] two [MASK] spans", "[MASK]"]


def png(seed: int) -> bytes:
    """A picture of noise."""
    file = io.BytesIO()
    Image.frombytes("RGB", (40, 40), Random(seed).randbytes(4800)).save(file, "PNG")
    return file.getvalue()


def labels(answer: list[dict[str, Any]]) -> list[Label]:
    return [Label(**one) for one in answer]


def fills(answer: list[dict[str, Any]]) -> list[Fill]:
    return [Fill(**{**one, "tokens": tuple(one["tokens"])}) for one in answer]


def test_a_text_is_answered_with_its_labels(way, live: LiveServer) -> None:
    answer = live.post("text-classification", json={"inputs": TEXTS}).json()
    assert way.ask("text_classification", TEXTS[0]) == labels(answer[0])
    assert way.ask("text_classification", TEXTS) == [labels(one) for one in answer]
    assert way.ask("text_classification", (TEXTS[1],)) == [labels(answer[1])]


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_options_of_a_classification(way, live: LiveServer, function: str) -> None:
    parameters = {"top_k": 2, "function_to_apply": function}
    body = {"inputs": "which?", "parameters": parameters, "model": "text"}
    answer = live.post("text-classification", json=body).json()
    found = way.ask("text_classification", "which?", model="text", **parameters)
    assert found == labels(answer[0])
    assert len(found) == 2
    picture = png(3)
    answer = live.post("image-classification", files={"file": picture}).json()
    expected = labels(answer)[:2]
    found = way.ask("image_classification", picture, model="image", **parameters)
    assert [one.label for one in found] == [one.label for one in expected]
    if function == "softmax":
        assert found == expected


def test_a_masked_text_is_answered_with_a_list_per_span(way, live: LiveServer) -> None:
    one, two, three = live.post("fill-mask", json={"inputs": MASKED}).json()
    expected = [[fills(one)], [fills(span) for span in two], [fills(three)]]
    assert way.ask("fill_mask", MASKED) == expected
    assert [way.ask("fill_mask", text) for text in MASKED] == expected
    assert [len(span) for span in way.ask("fill_mask", MASKED[1], top_k=3)] == [3, 3]


def test_targets_alone_are_scored(way, live: LiveServer) -> None:
    parameters = {"targets": ["is", "at"]}
    body = {"inputs": MASKED[0], "parameters": parameters}
    expected = fills(live.post("fill-mask", json=body).json())
    assert {fill.token_str for fill in expected} == {"is", "at"}
    assert way.ask("fill_mask", MASKED[0], targets=("is", "at")) == [expected]


def test_images_are_bytes_or_paths_and_answered_in_order(way, live: LiveServer, tmp_path) -> None:
    pictures = [png(number) for number in range(12)]
    expected = [
        labels(live.post("image-classification", content=picture).json()) for picture in pictures
    ]
    assert len({tuple(one) for one in expected}) == len(pictures)
    path = tmp_path / "a picture.png"
    path.write_bytes(pictures[1])
    assert way.ask("image_classification", pictures[0]) == expected[0]
    assert way.ask("image_classification", path) == expected[1]
    mixed = [pictures[0], path, *pictures[2:]]
    assert way.ask("image_classification", mixed) == expected


def test_a_newer_server_may_tell_more_of_a_model(live: LiveServer) -> None:
    listed = live.http.get("/v1/models").json()
    expected = ListModels().from_http([listed])
    for model in listed["models"]:
        model["size"] = 1
        if model["format"]:
            model["format"]["channels"] = 3
    assert ListModels().from_http([listed]) == expected


def test_models(way, live: LiveServer) -> None:
    listed = live.http.get("/v1/models").json()["models"]
    expected = [
        Model(**{**one, "format": one["format"] and Format(**one["format"])}) for one in listed
    ]
    found = way.ask("models")
    assert found == expected
    formats = {model.name: model.format for model in found}
    assert formats["text"] is formats["language-perceiver"] is None
    assert formats["clips"] == Format(2, 16, 16, 640, 25, 8000)
