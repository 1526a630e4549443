"""The 262 ids of Perceiver's language models: special tokens 0…5, UTF-8 byte b at b + 6.

The process that owns the sockets imports this module, so it imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from perceiver_core.encoding import IntArray
from perceiver_core.errors import InvalidInput

# A token's place is its id.
SPECIAL_NAMES = ("pad_token", "bos_token", "eos_token", "mask_token", "cls_token", "sep_token")
_OFFSET = len(SPECIAL_NAMES)
_SIZE = _OFFSET + 256


class ByteVocabulary:
    """Text, tokens and ids into one another (the half of the seed's tokenizer that knows no batch).

    The token of a byte is the character of its number (U+0000…U+00FF); `specials` are the six
    other tokens, in the order of SPECIAL_NAMES.
    """

    def __init__(self, specials: Sequence[str]) -> None:
        self._tokens = [*specials, *map(chr, range(256))]
        self._bytes = [*map(utf8, specials), *(bytes([byte]) for byte in range(256))]
        self._vocab = {chr(byte): byte + _OFFSET for byte in range(256)}
        self._vocab |= {token: index for index, token in enumerate(specials)}
        longest_first = sorted(self._bytes[:_OFFSET], key=len, reverse=True)
        self._special_pattern = re.compile(b"|".join(map(re.escape, longest_first)))
        self.pad_token, self.bos_token, self.eos_token = specials[:3]
        self.mask_token, self.cls_token, self.sep_token = specials[3:]
        ids = [self._vocab[token] for token in specials]
        self.pad_token_id, self.bos_token_id, self.eos_token_id = ids[:3]
        self.mask_token_id, self.cls_token_id, self.sep_token_id = ids[3:]
        self.all_special_tokens = list(dict.fromkeys(specials))
        self.all_special_ids = [self._vocab[token] for token in self.all_special_tokens]

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The six names, `pad_token` and so on, and their tokens."""
        return dict(zip(SPECIAL_NAMES, self._tokens, strict=False))

    @property
    def vocab_size(self) -> int:
        """256, the bytes alone; `len(tokenizer)` is 262, with the special tokens."""
        return 256

    def __len__(self) -> int:
        return _SIZE

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return dict(self._vocab)

    def text_ids(self, text: str, raw: bool) -> IntArray:
        """(L,) int64, an id a byte or special token, with `raw` bytes only. Raises InvalidInput."""
        data = utf8(text)
        ids = np.frombuffer(data, np.uint8).astype(np.int64) + _OFFSET
        if raw:
            return ids
        # Searched as bytes: in UTF-8 no character's bytes occur inside another's.
        keep = np.ones(len(ids), np.bool_)
        for match in self._special_pattern.finditer(data):
            start, end = match.span()
            ids[start] = self._vocab[match.group().decode()]
            keep[start + 1 : end] = False
        return ids[keep]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """[CLS] ids [SEP], for a pair [CLS] ids [SEP] more ids [SEP]."""
        first = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return first if token_ids_1 is None else [*first, *token_ids_1, self.sep_token_id]

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 where `build_inputs_with_special_tokens` puts a special token, or one is already."""
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise InvalidInput("ids that have special tokens already are given as one sequence")
            return [int(index in self.all_special_ids) for index in token_ids_0]
        first = [1, *(0 for _ in token_ids_0), 1]
        return first if token_ids_1 is None else [*first, *(0 for _ in token_ids_1), 1]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a text, or a pair, is framed by."""
        return 3 if pair else 2

    def decode(self, token_ids: Any, skip_special_tokens: bool = False) -> str:
        """The text of one id or a sequence (0…261); bytes that are not UTF-8 become U+FFFD."""
        kept = self._kept(token_ids, skip_special_tokens)
        return b"".join([self._bytes[index] for index in kept]).decode(errors="replace")

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False) -> list[str]:
        """`decode` of every row."""
        return [self.decode(row, skip_special_tokens) for row in sequences]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = ...) -> str: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Sequence[int] | IntArray, skip_special_tokens: bool = ...
    ) -> list[str]: ...
    def convert_ids_to_tokens(
        self, ids: int | Sequence[int] | IntArray, skip_special_tokens: bool = False
    ) -> str | list[str]:
        """The token of one id, or those of a sequence (0…261). Raises InvalidInput."""
        if isinstance(ids, int):
            return self._tokens[id_list(ids)[0]]
        return [self._tokens[index] for index in self._kept(ids, skip_special_tokens)]

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str]) -> int | list[int]:
        """The id of one token, or those of a sequence; InvalidInput for what is no token."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        if tokens not in self._vocab:
            raise InvalidInput(f"{tokens!r} is not one token: to encode a text, call the tokenizer")
        return self._vocab[tokens]

    def _kept(self, ids: Any, skip_special_tokens: bool) -> list[int]:
        known = id_list(ids)
        if not skip_special_tokens:
            return known
        return [index for index in known if index not in self.all_special_ids]


def special_token(name: str, token: Any) -> str:
    """The string of a special token, which config files and transformers wrap in a record."""
    fields = {"content": token} if isinstance(token, str) else token
    if not isinstance(fields, Mapping):
        names = ("content", "lstrip", "rstrip", "single_word")
        fields = {key: getattr(token, key, None) for key in names}
    content = fields.get("content")
    if not isinstance(content, str) or not content:
        raise InvalidInput(f"{name} is {token!r}: it must be a string of one character or more")
    for key in ("lstrip", "rstrip", "single_word"):
        if fields.get(key):
            raise InvalidInput(f"{name} has {key}=true: this tokenizer matches tokens exactly")
    return content


def utf8(text: str) -> bytes:
    """UTF-8 of `text`; InvalidInput for what is no str and for a lone surrogate."""
    if not isinstance(text, str):
        raise InvalidInput(f"text is of type {type(text).__name__}: it must be str")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"character {error.start} of the text is U+{ord(text[error.start]):04X}, half of a "
            "surrogate pair, which no text may hold alone: remove it or replace it by U+FFFD"
        ) from None


def id_list(ids: Any) -> list[int]:
    """Ids as a list; InvalidInput unless they are one int or a flat sequence of ints in 0…261."""
    array = np.asarray(ids.tolist() if hasattr(ids, "tolist") else ids)
    if array.ndim > 1:
        raise InvalidInput(f"ids have shape {array.shape}: decode a batch with batch_decode")
    if array.size and array.dtype.kind not in "iu":
        raise InvalidInput(f"ids must be int, but they are {array.dtype}")
    known: list[int] = array.ravel().tolist()
    for index in known:
        if not 0 <= index < _SIZE:
            raise InvalidInput(f"id {index} is outside 0…{_SIZE - 1}")
    return known
