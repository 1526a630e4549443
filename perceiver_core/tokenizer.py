"""Texts to batches of ids and masks, with the options of the seed's tokenizer.

The process that owns the sockets imports this module, so it imports no torch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_core.encoding import (
    BatchEncoding,
    IntArray,
    at_least,
    one_of,
    tensor_kind,
    unused,
)
from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.folders import model_folder, read_json
from perceiver_core.text_rows import (
    NO_LIMIT,
    SIDES,
    Columns,
    Request,
    build_row,
    collect,
    joined,
    kind_of,
    limits,
    pad_columns,
    pairs,
)
from perceiver_core.vocabulary import SPECIAL_NAMES, ByteVocabulary, id_list, special_token

logger = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer_config.json"
_SETTINGS = (
    *SPECIAL_NAMES,
    "model_max_length",
    "padding_side",
    "truncation_side",
    "split_special_tokens",
)


class PerceiverTokenizer(ByteVocabulary):
    """Raw UTF-8 bytes with six special tokens (seed: PerceiverTokenizer).

    The names of special tokens inside a text stand for these tokens; with `raw=True` (the config's
    `split_special_tokens`) nothing in a text is special. Options besides these, `padding_side` and
    `truncation_side` ('right', 'left') are ignored with a logged warning. Raises InvalidInput.
    """

    model_input_names = ("input_ids", "attention_mask")

    def __init__(
        self,
        pad_token: Any = "[PAD]",
        bos_token: Any = "[BOS]",
        eos_token: Any = "[EOS]",
        mask_token: Any = "[MASK]",
        cls_token: Any = "[CLS]",
        sep_token: Any = "[SEP]",
        model_max_length: int | None = 2048,
        *,
        padding_side: str = "right",
        truncation_side: str = "right",
        split_special_tokens: bool = False,
        raw: bool = False,
        **kwargs: Any,
    ) -> None:
        given = (pad_token, bos_token, eos_token, mask_token, cls_token, sep_token)
        super().__init__(list(map(special_token, SPECIAL_NAMES, given)))
        self._fills = {
            "input_ids": self.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": 0,
            "special_tokens_mask": 1,
        }
        self.model_max_length = NO_LIMIT if model_max_length is None else int(model_max_length)
        at_least("model_max_length", self.model_max_length, 1)
        self.padding_side = one_of("padding_side", padding_side, SIDES)
        self.truncation_side = one_of("truncation_side", truncation_side, SIDES)
        self.raw = bool(raw or split_special_tokens)
        unused("PerceiverTokenizer", kwargs)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **kwargs: Any) -> PerceiverTokenizer:
        """From a model folder's tokenizer_config.json, or the defaults where it has none.

        Keys that are not known are ignored; `kwargs` win over the file. Raises CheckpointError.
        """
        file = model_folder(folder) / TOKENIZER_FILE
        values = read_json(file) if file.exists() else {}
        known = {name: values[name] for name in _SETTINGS if name in values}
        try:
            return cls(**{**known, **kwargs})
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{TOKENIZER_FILE}: {error}") from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes tokenizer_config.json into `folder`, which is made if missing."""
        values = {
            **self.special_tokens_map,
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "split_special_tokens": self.raw,
            "tokenizer_class": "PerceiverTokenizer",
        }
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)
        (Path(folder) / TOKENIZER_FILE).write_text(text + "\n", encoding="utf-8")

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        *,
        padding_side: str | None = None,
        raw: bool | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Ids (0…261) and masks of a text, a pair, or a batch of either (seed: __call__).

        A text is a str, a list of ids or, with `is_split_into_words`, a list of words. One text
        gives lists of int, a batch lists of lists, `return_tensors` 'np' or 'pt' int64 of shape
        (texts, length). What is longer than the model takes is kept unless cut is asked for, and
        logged. Raises InvalidInput.
        """
        unused("PerceiverTokenizer", kwargs)
        if return_offsets_mapping:
            raise NotImplementedError("return_offsets_mapping: this tokenizer keeps no offsets")
        if text is None and text_target is None:
            raise InvalidInput("there is nothing to encode: give text, text_target or both")
        wanted = {
            "input_ids": True,
            "token_type_ids": return_token_type_ids,
            "special_tokens_mask": return_special_tokens_mask,
            "attention_mask": return_attention_mask is not False,
        }
        multiple, longest = pad_to_multiple_of, self.model_max_length
        rule = limits(padding, truncation, max_length, multiple, longest, verbose)
        request = Request(
            limits=rule,
            padding_side=one_of("padding_side", padding_side or self.padding_side, SIDES),
            truncation_side=self.truncation_side,
            frame=(self.cls_token_id, self.sep_token_id) if add_special_tokens else None,
            stride=at_least("stride", stride, 0),
            words=is_split_into_words,
            raw=self.raw if raw is None else raw,
            kind=tensor_kind(return_tensors),
            fields=tuple(name for name, asked in wanted.items() if asked),
            overflowing=return_overflowing_tokens,
            length=return_length,
            verbose=verbose,
        )
        if text is None:
            return self._encode(text_target, text_pair_target, request)
        encoding = self._encode(text, text_pair, request)
        if text_target is not None:
            target = self._encode(text_target, text_pair_target, request)
            encoding["labels"] = target["input_ids"]
        return encoding

    def encode(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
    ) -> Any:
        """The `input_ids` of a call with these options."""
        options["add_special_tokens"] = add_special_tokens
        return self(text, text_pair, **options)["input_ids"]

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pads one encoding, a batch, or a list of encodings, as a call with `padding` does.

        Lists stay lists, arrays and tensors stay such, unless `return_tensors` says otherwise.
        """
        given = joined(encoded_inputs)
        if "input_ids" not in given:
            raise InvalidInput(f"pad needs input_ids: it was given {', '.join(given) or 'nothing'}")
        ids = given["input_ids"]
        batched = len(ids) > 0 and np.ndim(ids[0]) > 0
        if batched and any(len(values) != len(ids) for values in given.values()):
            raise InvalidInput(f"every field of a batch must have its {len(ids)} rows")
        columns: Columns = {
            name: [
                np.asarray(row, np.int64 if name in self._fills else None)
                for row in (values if batched else [values])
            ]
            for name, values in given.items()
        }
        lengths = [len(row) for row in columns["input_ids"]]
        if return_attention_mask is not False and "attention_mask" not in columns:
            columns["attention_mask"] = [np.ones(length, np.int64) for length in lengths]
        multiple, longest = pad_to_multiple_of, self.model_max_length
        rule = limits(padding, False, max_length, multiple, longest, verbose)
        side = one_of("padding_side", padding_side or self.padding_side, SIDES)
        pad_columns(columns, rule.width(lengths), self._fills, side)
        kind = tensor_kind(return_tensors) or kind_of(ids)
        return collect(columns, kind, unwrap=not batched)

    def tokenize(self, text: str, raw: bool | None = None) -> list[str]:
        """The tokens of a text: one character U+0000…U+00FF a byte, and names of special tokens."""
        ids = self.text_ids(text, self.raw if raw is None else raw)
        return self.convert_ids_to_tokens(ids)

    def _encode(self, text: Any, text_pair: Any, request: Request) -> BatchEncoding:
        batched, sequences = pairs(text, text_pair, request.words)
        columns: Columns = {name: [] for name in request.fields}
        overflows, excesses = [], []
        for first, second in sequences:
            ids = self._ids(first, request)
            more = None if second is None else self._ids(second, request)
            row, overflow, excess = build_row(ids, more, request)
            for name in request.fields:
                columns[name].append(row[name])
            overflows.append(overflow)
            excesses.append(np.asarray(excess))
        lengths = [len(row) for row in columns["input_ids"]]
        if request.verbose and max(lengths) > self.model_max_length:
            logger.warning(
                "a text has %s ids and the model takes at most %s: cut it with truncation=True",
                max(lengths),
                self.model_max_length,
            )
        pad_columns(columns, request.limits.width(lengths), self._fills, request.padding_side)
        if request.overflowing and request.kind is None and any(map(len, overflows)):
            columns["overflowing_tokens"] = overflows
            columns["num_truncated_tokens"] = excesses
        if request.length:
            # As the peer has it: lengths before padding for a batch, after padding for one text.
            rows = lengths if batched else map(len, columns["input_ids"])
            columns["length"] = [np.asarray(length) for length in rows]
        return collect(columns, request.kind, unwrap=not batched and request.kind is None)

    def _ids(self, sequence: Any, request: Request) -> IntArray:
        """(L,) int64 of a text, of a list of words, or of ids given as such."""
        if isinstance(sequence, str):
            return self.text_ids(sequence, request.raw)
        if isinstance(sequence, (list, tuple)):
            if request.words and all(isinstance(word, str) for word in sequence):
                words = [self.text_ids(word, request.raw) for word in sequence]
                return np.concatenate([np.empty(0, np.int64), *words])
            if sequence and all(isinstance(index, int) for index in sequence):
                return np.array(id_list(sequence))
        raise InvalidInput(
            f"a text must be str, not {type(sequence).__name__}: give a pair as (text, text), and "
            "words as a list of str with is_split_into_words=True"
        )
