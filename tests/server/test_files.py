"""What `predict` reads, shows and writes."""

from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from perceiver_core.pipelines.classification import Label
from perceiver_core.pipelines.multimodal_autoencoding import Clip, Format, Reconstruction
from perceiver_core.pipelines.optical_flow import Flow, OpticalFlowInput
from server.config import Settings
from server.files import items_of, shown, writer_of
from server.media_pool import MediaPool
from tests.server.clips import grey

FLOW, CLIPS = "optical-flow", "multimodal-autoencoding"
FIELD = np.array([[[3, 4], [0, 0]]], np.float32)
FRAMES = grey(4, (16, 16))
MADE = Reconstruction(
    [
        Clip(start, [Label("a", 0.5)], FRAMES[i : i + 2], np.zeros(640, np.float32))
        for i, start in ((0, 0.0), (2, 0.08))
    ],
    Format(2, 16, 16, 640, 25, 8000),
)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Four files, each with its number in it."""
    files = [tmp_path / str(number) for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]))
    return [str(file) for file in files]


def test_flow_is_of_pairs(paths: list[str]) -> None:
    pairs = [OpticalFlowInput(b"\0", b"\1"), OpticalFlowInput(b"\2", b"\3")]
    assert items_of(FLOW, paths, None, None) == pairs


def test_a_file_of_a_video_is_what_the_model_saw_and_heard(paths: list[str]) -> None:
    assert [item.outputs for item in items_of(CLIPS, paths, 3, None)] == [("label",)] * 4
    [item] = items_of(CLIPS, paths[:1], 3, Path("a.mp4"))
    assert (item.outputs, item.top_k) == (("video", "audio"), 3)


def test_what_cannot_be_read_or_written_is_said(paths: list[str]) -> None:
    for call, sentence in (
        (lambda: items_of(FLOW, paths[:3], None, None), "takes two images"),
        (lambda: items_of(FLOW, paths[:2], 3, None), "no --top-k"),
        (lambda: items_of(CLIPS, ["nowhere"], None, None), "cannot read 'nowhere': No such file"),
        (lambda: writer_of(FLOW, Path("a.jpg"), 1), "'a.jpg': .* end in .flo, .npy, .png"),
        (lambda: writer_of(CLIPS, Path("a"), 1), "end in .mp4"),
        (lambda: writer_of("fill-mask", Path("a.json"), 1), "fill-mask writes no file"),
        (lambda: writer_of(FLOW, Path("a.png"), 2), "takes one result, this is 2"),
        (lambda: writer_of(FLOW, Path("nowhere/a.png"), 1), "there is no such folder"),
    ):
        with pytest.raises(click.ClickException, match=sentence):
            call()


def test_arrays_are_shown_as_a_few_numbers() -> None:
    assert shown(Flow(FIELD)) == {
        "shape": (1, 2, 2),
        "mean_magnitude": 2.5,
        "max_magnitude": 5.0,
    }
    assert shown(MADE) == [
        {"start": 0.0, "labels": [Label("a", 0.5)]},
        {"start": 0.08, "labels": [Label("a", 0.5)]},
    ]
    assert shown("text") == "text"


async def test_files_are_of_the_kind_that_their_names_say(tmp_path: Path) -> None:
    pool = MediaPool(Settings())
    pool.start()
    try:
        made: dict[str, Any] = {
            name: await writer_of(task, tmp_path / name, 1)(pool, output)
            for name, task, output in (
                *((f"a{kind}", FLOW, Flow(FIELD)) for kind in (".flo", ".npy", ".png")),
                ("a.mp4", CLIPS, MADE),
            )
        }
    finally:
        await pool.close()
    assert made["a.flo"] == b"PIEH\2\0\0\0\1\0\0\0" + FIELD.tobytes()
    assert made["a.png"].startswith(b"\x89PNG")
    assert made["a.mp4"][4:8] == b"ftyp"
    (tmp_path / "a.npy").write_bytes(made["a.npy"])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), FIELD)
