"""What may happen to a sprite: a motion says for each frame how it looks, all tensors (B, T).

Places on the stage are from -1 to 1, y downwards; `t` is the time of a frame and `after` the time
since it happened, 0 before, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

BLAST, BEAM, STAR = range(3)  # the effects, as training.sources.multimodal_autoencoding packs them


@dataclass
class Look:
    """How an actor looks in each frame; what is not said stays as it is."""

    x: Tensor | float = 0.0
    y: Tensor | float = 0.0
    width: Tensor | float = 1.0
    height: Tensor | float = 1.0
    angle: Tensor | float = 0.0
    opacity: Tensor | float = 1.0
    white: Tensor | float = 0.0
    red: Tensor | float = 0.0


@dataclass
class Motion:
    """The actor, an effect beside it, and the light on the whole stage."""

    actor: Look
    effect: Look = field(default_factory=lambda: Look(opacity=0.0))
    light: Tensor | float = 1.0


def coin(t: Tensor, after: Tensor) -> Motion:
    """Turns about itself, and rises and fades when it is taken."""
    spin = (2 * math.pi * (1.5 * t + 6 * after)).cos()
    return Motion(Look(y=-2.2 * after, width=spin, opacity=(1 - after / 0.35).clamp(0, 1)))


def error(t: Tensor, after: Tensor) -> Motion:
    """Shakes from side to side, red."""
    shake = (-5 * after).exp() * (2 * math.pi * 8 * after).sin()
    return Motion(Look(x=0.35 * shake, red=0.7 * (after > 0) * (-3 * after).exp()))


def explosion(t: Tensor, after: Tensor) -> Motion:
    """Gone in a flash; the blast grows and fades."""
    size = 0.6 + 4 * after
    blast = Look(width=size, height=size, opacity=(after > 0) * (1 - after / 0.5).clamp(0, 1))
    flash = 1 + 0.8 * (after > 0) * (-after / 0.05).exp()
    return Motion(Look(opacity=(after < 0.05).float()), blast, flash)


def fall(t: Tensor, after: Tensor) -> Motion:
    """Topples and drops out of the picture."""
    return Motion(Look(y=-0.4 + 7 * after**2, angle=4 * after, x=0.5 * after))


def gameover(t: Tensor, after: Tensor) -> Motion:
    """The light goes out, the actor shrinks."""
    dark = 1 - 0.85 * (after / 0.35).clamp(0, 1)
    size = 1 - 0.7 * (after / 0.4).clamp(0, 1)
    return Motion(Look(width=size, height=size), light=dark)


def hit(t: Tensor, after: Tensor) -> Motion:
    """Flies in from the left, is flattened, and bounces back."""
    before = (t - after).amax(dim=1, keepdim=True) - (t - after)
    flat = 0.5 * (after > 0) * (-12 * after).exp()
    star = Look(x=0.45, width=0.7, height=0.7, opacity=((after > 0) & (after < 0.16)).float())
    x = 0.1 - 2.5 * before - 1.2 * after
    return Motion(Look(x=x, width=1 - flat, height=1 + 0.6 * flat), star)


def hurt(t: Tensor, after: Tensor) -> Motion:
    """Knocked back, blinking red and away."""
    blink = (after > 0) & ((after * 10).floor() % 2 == 0)
    back = 0.7 * (1 - (-7 * after).exp())
    hop = -1.6 * after.clamp(max=0.25) * (0.25 - after.clamp(max=0.25)) * 8
    return Motion(Look(x=-back, y=hop, red=0.8 * blink, opacity=1 - 0.4 * blink))


def jump(t: Tensor, after: Tensor) -> Motion:
    """Up and down again."""
    air = after.clamp(max=0.5)
    return Motion(Look(y=0.3 - 15 * air * (0.5 - air), height=1 + 0.15 * (after > 0)))


def laser(t: Tensor, after: Tensor) -> Motion:
    """A beam goes up from a ship that is pushed down a little."""
    beam = Look(y=0.1 - 6 * after, width=2.0, opacity=(after > 0).float())
    return Motion(Look(y=0.45 + 0.25 * after * (-8 * after).exp() * 8), beam)


def lose(t: Tensor, after: Tensor) -> Motion:
    """Turns over and sinks."""
    turned = math.pi * (after / 0.25).clamp(0, 1)
    return Motion(Look(y=1.1 * after, angle=turned, opacity=1 - 0.5 * (after / 0.5).clamp(0, 1)))


def secret(t: Tensor, after: Tensor) -> Motion:
    """Appears out of nothing under a turning star."""
    size = (after / 0.2).clamp(0, 1) * (1 + 0.25 * (math.pi * (after / 0.3).clamp(0, 1)).sin())
    star = Look(y=-0.5 - 0.4 * after, width=0.6, height=0.6, angle=6 * after, opacity=after > 0)
    return Motion(Look(width=size, height=size, opacity=(after > 0).float()), star)


def upgrade(t: Tensor, after: Tensor) -> Motion:
    """Grows in three steps, white at each."""
    step = (after / 0.12).ceil().clamp(0, 3)
    since = (after - 0.12 * (step - 1)).clamp(min=0)
    size = 0.75 + 0.25 * step
    white = (step > 0) * (-since / 0.04).exp()
    return Motion(Look(y=-0.1 * step, width=size, height=size, white=0.9 * white))


MOTIONS: dict[str, Callable[[Tensor, Tensor], Motion]] = {
    motion.__name__: motion
    for motion in (
        *(coin, error, explosion, fall, gameover, hit),
        *(hurt, jump, laser, lose, secret, upgrade),
    )
}
EFFECTS = {"explosion": BLAST, "laser": BEAM}  # of the others: STAR
