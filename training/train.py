"""Train, continue or score an embedded model: `python -m training.train NAME --minutes 30`."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from perceiver_core.zoo import EMBEDDED
from training.initialise import read_in_order, start
from training.optimise import Budget, fit

DATA = Path(__file__).parent / "data"
RECIPES = {
    "tiny-language-id": ("training.language_id", "language-id.npz"),
    "tiny-fashion": ("training.fashion", "fashion.npz"),
    "tiny-fill-mask": ("training.fill_mask", "fill-mask.npz"),
    "tiny-flow": ("training.optical_flow", "flow.npz"),
    "tiny-multimodal": ("training.multimodal_autoencoding", "multimodal.npz"),
}


@click.command()
@click.argument("name", type=click.Choice(sorted(RECIPES)))
@click.option("--minutes", type=float, default=0.0, help="training budget; 0 only scores")
@click.option("--continue", "resume", is_flag=True, help="start from the weights in the folder")
@click.option("--folder", type=click.Path(path_type=Path), help="model folder; default: the zoo's")
@click.option("--data", type=click.Path(path_type=Path), default=DATA)
@click.option("--threads", type=int, default=0, help="CPU threads; 0: all")
@click.option("--seed", type=int, default=0)
@click.option("--learning-rate", type=float, help="peak; default: the recipe's")
def main(
    name: str,
    minutes: float,
    resume: bool,
    folder: Path | None,
    data: Path,
    threads: int,
    seed: int,
    learning_rate: float | None,
) -> None:
    """Train NAME for a number of minutes and print its score as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if threads:
        torch.set_num_threads(threads)
    module, file = RECIPES[name]
    recipe = importlib.import_module(module)
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = folder or EMBEDDED.get(name) or Path("perceiver_core/zoo") / name
    if not (data / file).exists():
        raise click.ClickException(
            f"{file} is missing: python -m training.prepare {Path(file).stem} makes it"
        )
    source = recipe.Data(data / file)
    if minutes:
        torch.manual_seed(seed)
        if resume:
            model = recipe.MODEL.from_pretrained(folder).requires_grad_(True)
            if hasattr(recipe, "next_stage"):
                model = recipe.next_stage(model, source)
        else:
            model = fresh(recipe, source)
        model = model.to(place)
        loss = recipe.loss_function(source, place, np.random.default_rng(seed))
        fit(model, loss, Budget(minutes, learning_rate or recipe.PEAK_LEARNING_RATE), folder)
        if hasattr(recipe, "PROCESSOR"):
            recipe.PROCESSOR.save_pretrained(folder)
    click.echo(json.dumps({name: scores(recipe, folder, source, place)}, indent=2))


def fresh(recipe: Any, source: Any) -> Any:
    """The recipe's model before its first step."""
    model = recipe.MODEL(recipe.config(source))
    start(model)
    if hasattr(recipe, "SPAN"):
        read_in_order(model.perceiver, recipe.SPAN)
    if hasattr(recipe, "prepare_model"):
        recipe.prepare_model(model, source)
    return model


def scores(recipe: Any, folder: Path, source: Any, place: torch.device) -> dict[str, float]:
    """The recipe's scores in float32; the share of answers that bfloat16 leaves unchanged, or how
    far it moves them."""
    reference = recipe.MODEL.from_pretrained(folder, device=place)
    fast = recipe.MODEL.from_pretrained(folder, device=place, numerics="fast", dtype="bfloat16")
    found = recipe.score(reference, source)
    if hasattr(recipe, "drift"):
        found |= recipe.drift(reference, fast, source)
    else:
        same = recipe.predictions(reference, source) == recipe.predictions(fast, source)
        found["bfloat16_agreement"] = same.mean()
    return {name: round(float(value), 4) for name, value in found.items()}


if __name__ == "__main__":
    main()
