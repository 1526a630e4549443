"""One text, or pair, as a row of ids and masks; rows cut, padded and collected into a batch.

The process that owns the sockets imports this module, so it imports no torch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perceiver_core.encoding import BatchEncoding, IntArray, at_least, one_of, stack
from perceiver_core.errors import InvalidInput

logger = logging.getLogger(__name__)

# Column by column, one array a row.
Columns = dict[str, list[npt.NDArray[Any]]]
# Older tokenizer files write "no limit" as 1e30.
NO_LIMIT = 10**20
SIDES = ("right", "left")


@dataclass(frozen=True)
class Limits:
    """How long rows may and must be, once every default is resolved (see `limits`)."""

    padding: str
    truncation: str
    max_length: int | None
    multiple: int | None

    def excess(self, length: int) -> int:
        """How many ids to remove from a row of this length."""
        if self.truncation == "do_not_truncate" or self.max_length is None:
            return 0
        return max(0, length - self.max_length)

    def width(self, lengths: Sequence[int]) -> int:
        """The length to pad rows of these lengths to; 0 for no padding."""
        if self.padding == "do_not_pad":
            return 0
        width = max(lengths) if self.padding == "longest" else self.max_length or 0
        return -(-width // self.multiple) * self.multiple if self.multiple else width


def limits(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    multiple: int | None,
    model_max_length: int,
    verbose: bool,
) -> Limits:
    """The options of a call, resolved as the seed's `__call__` has it. Raises InvalidInput."""
    if max_length is not None and padding is False and truncation is None:
        truncation = True
    if isinstance(padding, bool):
        padding = "longest" if padding else "do_not_pad"
    if truncation is None or isinstance(truncation, bool):
        truncation = "longest_first" if truncation else "do_not_truncate"
    padding = one_of("padding", padding, ("longest", "max_length", "do_not_pad"))
    truncation = one_of(
        "truncation", truncation, ("longest_first", "only_first", "only_second", "do_not_truncate")
    )
    if max_length is not None:
        at_least("max_length", max_length, 1)
        if verbose and padding == "longest" and truncation == "do_not_truncate":
            logger.warning(
                "max_length=%s has no effect: set padding='max_length' or truncation=True",
                max_length,
            )
    elif model_max_length >= NO_LIMIT:
        padding = "do_not_pad" if padding == "max_length" else padding
        truncation = "do_not_truncate"
    elif padding == "max_length" or truncation != "do_not_truncate":
        max_length = model_max_length
    if multiple is not None:
        at_least("pad_to_multiple_of", multiple, 1)
        both = padding != "do_not_pad" and truncation != "do_not_truncate"
        if both and max_length is not None and max_length % multiple:
            raise InvalidInput(
                f"max_length {max_length} is not a multiple of pad_to_multiple_of {multiple}: "
                "where texts are both cut and padded it must be one"
            )
    return Limits(padding, truncation, max_length, multiple)


@dataclass(frozen=True)
class Request:
    """What one call of a tokenizer asks for, with every default resolved."""

    limits: Limits
    padding_side: str
    truncation_side: str
    # The ids of [CLS] and [SEP], or None for no special tokens.
    frame: tuple[int, int] | None
    stride: int
    words: bool
    raw: bool
    kind: str | None
    fields: tuple[str, ...]
    overflowing: bool
    length: bool
    verbose: bool


def build_row(
    first: IntArray, second: IntArray | None, request: Request
) -> tuple[dict[str, IntArray], IntArray, int]:
    """Every field of one row, (L,) int64 each, its overflowing ids, and how many ids it lost."""
    rule = request.limits
    pair = second is not None
    if request.overflowing and pair and rule.truncation == "longest_first":
        raise InvalidInput(
            "return_overflowing_tokens has no order for a pair cut by 'longest_first': "
            "set truncation='only_first' or 'only_second'"
        )
    framing = 0 if request.frame is None else 2 + pair
    excess = rule.excess(len(first) + (0 if second is None else len(second)) + framing)
    first, second, overflow = truncate(
        first, second, excess, rule.truncation, request.stride, request.truncation_side
    )
    sequences = [first] if second is None else [first, second]
    # (ids, token type, special or not)
    parts = [(ids, 0, 0) for ids in sequences]
    if request.frame is not None:
        cls, sep = (np.array([index]) for index in request.frame)
        parts = [(cls, 0, 1)]
        for kind, ids in enumerate(sequences):
            parts += [(ids, kind, 0), (sep, kind, 1)]
    blocks, types, specials = zip(*parts, strict=True)
    lengths = [len(block) for block in blocks]
    row = {
        "input_ids": np.concatenate(blocks),
        "token_type_ids": np.repeat(types, lengths),
        "special_tokens_mask": np.repeat(specials, lengths),
        "attention_mask": np.ones(sum(lengths), np.int64),
    }
    return row, overflow, excess


def truncate(
    first: IntArray, second: IntArray | None, excess: int, strategy: str, stride: int, side: str
) -> tuple[IntArray, IntArray | None, IntArray]:
    """Removes `excess` ids from the `side` of a pair: (first, second, overflowing), all int64.

    Overflowing ids are the removed ones and up to `stride` kept neighbours; none for a pair cut
    by 'longest_first', and none where 'only_second' has no second sequence to cut.
    """
    nothing = first[:0]
    if not excess:
        return first, second, nothing
    if strategy == "longest_first" and second is not None:
        share_first, share_second = _shares(len(first), len(second), excess)
        return _cut(first, share_first, side), _cut(second, share_second, side), nothing
    if strategy != "only_second":
        return _cut(first, excess, side), second, _edge(first, excess + stride, side)
    if second is None:
        return first, second, nothing
    return first, _cut(second, excess, side), _edge(second, excess + stride, side)


def _shares(first: int, second: int, excess: int) -> tuple[int, int]:
    """How many ids each of two sequences loses when always the longer one loses its next id."""
    level = min(abs(first - second), excess)
    half, odd = divmod(excess - level, 2)
    return (level + half, half + odd) if first > second else (half, level + half + odd)


def _cut(ids: IntArray, count: int, side: str) -> IntArray:
    return ids[: max(0, len(ids) - count)] if side == "right" else ids[count:]


def _edge(ids: IntArray, count: int, side: str) -> IntArray:
    return ids[max(0, len(ids) - count) :] if side == "right" else ids[:count]


def pairs(text: Any, text_pair: Any, words: bool) -> tuple[bool, list[tuple[Any, Any]]]:
    """Whether `text` is a batch, and its (first, second or None) sequences. Raises InvalidInput.

    `words`: a list of str is one sequence (is_split_into_words) rather than a batch.
    """
    if not isinstance(text, (list, tuple)):
        return False, [(text, text_pair)]
    rows = (list, tuple) if words else (str, list, tuple)
    if (text or words) and not (text and isinstance(text[0], rows)):
        return False, [(text, text_pair)]
    if not text:
        raise InvalidInput("text is an empty list: give at least one text")
    if text_pair is None:
        return True, [_as_pair(item, words) for item in text]
    if not isinstance(text_pair, (list, tuple)) or len(text_pair) != len(text):
        raise InvalidInput(
            f"text is a batch of {len(text)}: text_pair must be a list of as many texts"
        )
    return True, list(zip(text, text_pair, strict=True))


def _as_pair(item: Any, words: bool) -> tuple[Any, Any]:
    if not isinstance(item, tuple) and (words or not isinstance(item, list)):
        return item, None
    if len(item) == 2 and all(isinstance(part, (str, list, tuple)) for part in item):
        return item[0], item[1]
    alone = len(item) == 1 and isinstance(item[0], str)
    return item[0] if alone else item, None


def pad_columns(columns: Columns, width: int, fills: Mapping[str, int], side: str) -> None:
    """Pads, in place, rows (L,) int64 of the columns named in `fills` to (max(L, width),)."""
    for name in columns.keys() & fills.keys():
        columns[name] = [_pad(row, width - len(row), fills[name], side) for row in columns[name]]


def _pad(row: IntArray, missing: int, fill: int, side: str) -> IntArray:
    extra = np.full(max(0, missing), fill)
    return np.concatenate((row, extra) if side == "right" else (extra, row))


def collect(columns: Columns, kind: str | None, unwrap: bool) -> BatchEncoding:
    """Columns as lists, for 'np' and 'pt' as tensors; the first row alone if `unwrap`."""
    advice = "set padding=True, or leave return_tensors out"
    encoding = BatchEncoding()
    for name, rows in columns.items():
        whole = stack(name, rows, kind, advice) if kind else [row.tolist() for row in rows]
        encoding[name] = whole[0] if unwrap else whole
    return encoding


def joined(encodings: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A list of encodings as one batch."""
    if isinstance(encodings, Mapping):
        return encodings
    names = encodings[0] if encodings else {}
    return {name: [encoding[name] for encoding in encodings] for name in names}


def kind_of(ids: Any) -> str | None:
    """'np' or 'pt' if these ids, or their first row, are an array or a tensor."""
    sample = ids if hasattr(ids, "dtype") or not len(ids) else ids[0]
    if isinstance(sample, np.ndarray):
        return "np"
    return "pt" if hasattr(sample, "detach") else None
