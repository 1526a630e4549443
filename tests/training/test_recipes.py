"""Every recipe trains: two steps of its own loss on tiny data, saved, and read again."""

from __future__ import annotations

import importlib
import itertools
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.tiny_data import DATA, packed
from training import optimise
from training.optimise import Budget, fit
from training.train import RECIPES, fresh

STEPS = 2
CPU = torch.device("cpu")


@pytest.fixture
def recipe_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A recipe that asks for little at a time."""

    def small(name: str) -> ModuleType:
        recipe = importlib.import_module(RECIPES[name][0])
        for size, value in {"BATCH": 4, "EXAMPLES": 8}.items():
            monkeypatch.setattr(recipe, size, value, raising=False)
        if hasattr(recipe, "STAGES"):
            stages = {tile: replace(stage, batch=2) for tile, stage in recipe.STAGES.items()}
            monkeypatch.setattr(recipe, "STAGES", stages)
        return recipe

    return small


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes whenever the loop looks: a step takes two."""
    ticks = itertools.count()
    monkeypatch.setattr(optimise, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


def trained(recipe: Any, data: Any, model: Any, folder: Path) -> int:
    """Steps that were taken."""
    loss = recipe.loss_function(data, CPU, np.random.default_rng(0))
    losses: list[torch.Tensor] = []

    def counted(twin: Any) -> torch.Tensor:
        losses.append(loss(twin))
        return losses[-1]

    fit(model, counted, Budget(2 * STEPS / 60, recipe.PEAK_LEARNING_RATE), folder)
    assert torch.stack(losses).isfinite().all()
    return len(losses)


def matrices(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """What every step moves; a bias of keys, for one, changes no answer and has no gradient."""
    named = model.named_parameters()
    return [(key, value) for key, value in named if key.endswith("weight") and value.ndim == 2]


def test_all_recipes_have_tiny_data() -> None:
    assert DATA.keys() == RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_and_what_it_saves_is_what_it_learned(
    name: str, recipe_of: Any, tmp_path: Path
) -> None:
    recipe = recipe_of(name)
    data = recipe.Data(packed(name, tmp_path))
    torch.manual_seed(0)
    model = fresh(recipe, data)
    before = {key: value.clone() for key, value in matrices(model)}
    assert trained(recipe, data, model, tmp_path) == STEPS
    assert [key for key, value in matrices(model) if torch.equal(value, before[key])] == []
    learned = model.state_dict()
    again = recipe.MODEL.from_pretrained(tmp_path).state_dict()
    assert again.keys() == learned.keys()
    for key, value in again.items():
        assert torch.equal(value, learned[key].half().to(value.dtype)), key
        assert value.isfinite().all(), key


@pytest.mark.parametrize("native", [True, False])
def test_a_step_is_taken_in_the_format_of_any_machine(
    native: bool, recipe_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimise, "native_bfloat16", lambda _: native)
    recipe = recipe_of("tiny-fill-mask")
    data = recipe.Data(packed("tiny-fill-mask", tmp_path))
    seen: set[torch.dtype] = set()

    def loss(twin: Any) -> torch.Tensor:
        seen.add(twin.dtype)
        made: torch.Tensor = recipe.loss_function(data, CPU, np.random.default_rng(0))(twin)
        return made

    model = fresh(recipe, data)
    before = {key: value.clone() for key, value in matrices(model)}
    fit(model, loss, Budget(2 * STEPS / 60, recipe.PEAK_LEARNING_RATE), tmp_path)
    assert seen == {torch.bfloat16 if native else torch.float32}
    assert model.dtype == torch.float32
    assert all(not torch.equal(value, before[key]) for key, value in matrices(model))


def test_a_flow_model_goes_on_with_larger_tiles(recipe_of: Any, tmp_path: Path) -> None:
    recipe = recipe_of("tiny-flow")
    data = recipe.Data(packed("tiny-flow", tmp_path))
    small = fresh(recipe, data)
    large = recipe.next_stage(small, data)
    assert large.config.train_size == list(recipe.LAST)
    assert recipe.next_stage(large, data) is large
    assert trained(recipe, data, large, tmp_path) == STEPS
