"""PerceiverTokenizer equals transformers' wherever that one works; where it does not, ours does."""

import copy
import json
import logging
import subprocess
import sys
import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.tokenizer import PerceiverTokenizer

OURS = PerceiverTokenizer()
PEER = transformers.PerceiverTokenizer()
RAW_PEER = transformers.PerceiverTokenizer(split_special_tokens=True)
SPECIALS = ["[PAD]", "[BOS]", "[EOS]", "[MASK]", "[CLS]", "[SEP]"]
TEXT = "Grüße, [MASK][MASK] 😀\0 [pad]."

PADDINGS = [False, True, "longest", "max_length", "do_not_pad"]
TRUNCATIONS = [
    None,
    False,
    True,
    "longest_first",
    "only_first",
    "only_second",
    "do_not_truncate",
]

pieces = st.sampled_from([*SPECIALS, "[", "]", "[PAD", "MASK]", "[[SEP]]", "é", "😀", "\0", " "])
texts = st.lists(pieces | st.text(max_size=6), max_size=8).map("".join)


def theirs(*args, peer=PEER, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peer(*args, **options)


def assert_same(ours, peer):
    assert set(ours) == set(peer)
    for name, value in peer.items():
        if isinstance(value, np.ndarray):
            assert ours[name].dtype == value.dtype
            np.testing.assert_array_equal(ours[name], value)
        elif isinstance(value, torch.Tensor):
            assert ours[name].dtype == value.dtype
            assert torch.equal(ours[name], value)
        else:
            assert ours[name] == value


def assert_parity(*args, ours=OURS, peer=PEER, **options):
    """Both answer the same, or both refuse with a ValueError."""
    try:
        expected = theirs(*args, peer=peer, **options)
    except ValueError:
        with pytest.raises(InvalidInput):
            ours(*args, **options)
        return
    assert_same(ours(*args, **options), expected)


@pytest.mark.parametrize(("padding", "truncation"), list(product(PADDINGS, TRUNCATIONS)))
def test_every_strategy_for_one_text_and_for_pairs(padding, truncation):
    inputs = [
        (TEXT,),
        ("", "pair"),
        (TEXT, "a longer second text"),
        ([TEXT, "short"],),
        ([("a", TEXT), ["bc", ""]],),
        (["one", "two"], ["", TEXT]),
    ]
    for args, max_length, special in product(inputs, [None, 1, 4, 9, 40], [True, False]):
        options = {
            "padding": padding,
            "truncation": truncation,
            "max_length": max_length,
            "add_special_tokens": special,
            "return_token_type_ids": True,
            "return_special_tokens_mask": True,
            "return_length": True,
        }
        assert_parity(*args, **options)


@given(
    first=st.lists(texts, min_size=1, max_size=3),
    seconds=st.none() | st.lists(texts, min_size=3, max_size=3),
    single=st.booleans(),
    tensors=st.sampled_from([None, "np", "pt"]),
    options=st.fixed_dictionaries(
        {
            "padding": st.sampled_from(PADDINGS),
            "truncation": st.sampled_from(TRUNCATIONS),
            "max_length": st.none() | st.integers(1, 30),
            "pad_to_multiple_of": st.sampled_from([None, 1, 4, 7]),
            "add_special_tokens": st.booleans(),
            "stride": st.integers(0, 5),
            "padding_side": st.sampled_from([None, "left", "right"]),
            "return_token_type_ids": st.sampled_from([None, True, False]),
            "return_attention_mask": st.sampled_from([None, True, False]),
            "return_special_tokens_mask": st.booleans(),
            "return_overflowing_tokens": st.booleans(),
            "return_length": st.booleans(),
            "verbose": st.booleans(),
        }
    ),
)
@settings(max_examples=300, deadline=None)
def test_any_options_on_any_text(first, seconds, single, tensors, options):
    args: list[Any] = [first, seconds and seconds[: len(first)]]
    if single:
        args = [first[0], seconds and seconds[0]]
        if not options["add_special_tokens"] and not any(args):
            return  # see test_an_empty_text_is_padded
    every = {"return_tensors": tensors, **options}
    try:
        lists = theirs(*args, **options)
    except AssertionError:
        return  # see test_overflow_of_some_rows
    except ValueError:
        with pytest.raises(InvalidInput):
            OURS(*args, **every)
        return
    if tensors and not single and len(set(map(len, lists["input_ids"]))) > 1:
        # Here the peer makes an array of objects, or a tensor that misses ids.
        with pytest.raises(InvalidInput, match="padding=True"):
            OURS(*args, **every)
        return
    expected = theirs(*args, **every)
    assert_same(OURS(*args, **every), expected)


@given(
    words=st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=3),
    truncation=st.sampled_from([None, True]),
)
@settings(deadline=None)
def test_words(words, truncation):
    options = {"is_split_into_words": True, "max_length": 20, "truncation": truncation}
    assert_parity(words, padding=True, **options)
    assert_parity(words[0], words[-1], **options)
    assert_parity(words, words[::-1], **options)
    assert_parity([(words[0], words[-1])], **options)


@given(text=texts, side=st.sampled_from(["left", "right"]), max_length=st.integers(1, 20))
@settings(deadline=None)
def test_the_left_side(text, side, max_length):
    sides = {"padding_side": side, "truncation_side": side}
    tokenizers = {
        "ours": PerceiverTokenizer(**sides),
        "peer": transformers.PerceiverTokenizer(**sides),
    }
    options = {"padding": "max_length", "max_length": max_length, "truncation": "only_first"}
    assert_parity(text, **tokenizers, return_overflowing_tokens=True, stride=2, **options)
    assert_parity(text, "pair" + text, **tokenizers, **options)
    assert_parity(text, "pair" + text, **tokenizers, max_length=max_length, truncation=True)


@given(text=texts)
@settings(deadline=None)
def test_raw_text_has_no_special_strings(text):
    raw = PerceiverTokenizer(raw=True)
    assert_parity(text, ours=raw, peer=RAW_PEER)
    assert OURS(text, raw=True) == raw(text)
    assert raw(text, raw=False) == OURS(text)
    assert OURS.tokenize(text, raw=True) == RAW_PEER.tokenize(text)
    assert raw.encode(text, add_special_tokens=False) == [b + 6 for b in text.encode()]


@pytest.mark.parametrize(
    "names",
    [
        {"pad_token": "<pad>", "mask_token": "<m>"},
        {"mask_token": "[MASK]X", "cls_token": "[MASK]"},
        {"sep_token": "|", "eos_token": "||"},
        {"sep_token": "ß", "cls_token": "é"},
        {"cls_token": "[X]", "sep_token": "[X]"},
    ],
)
def test_other_names_of_special_tokens(names):
    ours, peer = PerceiverTokenizer(**names), transformers.PerceiverTokenizer(**names)
    text = "".join(names.values()) + " <pad>[PAD][MASK]XX[[MASK] ||| [X] ßé"
    assert_parity(text, ours=ours, peer=peer)
    assert ours.special_tokens_map == peer.special_tokens_map
    assert ours.get_vocab() == peer.get_vocab()
    ids = ours(text).input_ids
    assert ours.decode(ids) == peer.decode(ids)


def test_targets():
    assert_parity("a", text_target="[MASK]b")
    assert_parity(text_target=["a", "b"], text_pair_target=["c", "d"])
    assert_parity(["a", "bb"], ["c", "d"], text_target=["x", "yy"], padding=True)


def test_ids_are_taken_as_they_are():
    assert_parity([103, 104, 3])
    assert_parity([[103], [104, 105]], [[6], [7]], padding=True)
    with pytest.raises(InvalidInput, match="id 262 is outside 0…261"):
        OURS([262])


@pytest.mark.parametrize(
    "options", [{}, {"add_special_tokens": False}, {"max_length": 4}, {"return_tensors": "np"}]
)
def test_encode(options):
    np.testing.assert_array_equal(OURS.encode(TEXT, **options), PEER.encode(TEXT, **options))
    assert OURS.encode("a", "b", False) == PEER.encode("a", "b", False)


@given(ids=st.lists(st.integers(0, 261)), skip=st.booleans())
@settings(deadline=None)
def test_decode(ids, skip):
    text = PEER.decode(ids, skip_special_tokens=skip)
    assert OURS.decode(ids, skip_special_tokens=skip) == text
    assert OURS.decode(np.array(ids, np.int64), skip_special_tokens=skip) == text
    assert OURS.decode(torch.tensor(ids, dtype=torch.int64), skip_special_tokens=skip) == text
    assert OURS.batch_decode([ids, []], skip_special_tokens=skip) == [text, ""]
    tokens = OURS.convert_ids_to_tokens(ids, skip_special_tokens=skip)
    assert tokens == PEER.convert_ids_to_tokens(ids, skip_special_tokens=skip)
    assert OURS.convert_tokens_to_ids(tokens) == PEER.convert_tokens_to_ids(tokens)


@given(text=texts)
@settings(deadline=None)
def test_decoding_gives_the_text_back(text):
    assert OURS.decode(OURS.encode(text, add_special_tokens=False)) == text
    assert OURS.decode(OURS.encode(text, raw=True), skip_special_tokens=True) == text
    assert OURS.decode(OURS(text).input_ids) == f"[CLS]{text}[SEP]"
    assert OURS.tokenize(text) == PEER.tokenize(text)


def test_one_id_and_one_token():
    assert [OURS.decode(i) for i in (3, 103)] == ["[MASK]", "a"]
    assert OURS.convert_ids_to_tokens(103) == "a"
    assert OURS.convert_tokens_to_ids("[SEP]") == 5
    assert OURS.batch_decode(torch.tensor([[103, 104], [3, 105]])) == ["ab", "[MASK]c"]


def test_vocabulary():
    assert (OURS.vocab_size, len(OURS), OURS.model_max_length) == (256, 262, 2048)
    assert OURS.get_vocab() == PEER.get_vocab()
    assert OURS.special_tokens_map == PEER.special_tokens_map
    assert set(OURS.all_special_tokens) == set(PEER.all_special_tokens)
    assert set(OURS.all_special_ids) == set(PEER.all_special_ids)
    assert list(OURS.model_input_names) == PEER.model_input_names
    for name in ("pad", "bos", "eos", "mask", "cls", "sep"):
        for suffix in ("token", "token_id"):
            assert getattr(OURS, f"{name}_{suffix}") == getattr(PEER, f"{name}_{suffix}")


@pytest.mark.parametrize("pair", [None, [9], []])
def test_framing(pair):
    for name in ("build_inputs_with_special_tokens", "get_special_tokens_mask"):
        assert getattr(OURS, name)([7, 8], pair) == getattr(PEER, name)([7, 8], pair)
    is_pair = pair is not None
    assert OURS.num_special_tokens_to_add(is_pair) == PEER.num_special_tokens_to_add(is_pair)


def test_special_tokens_already_there():
    ids = [4, 103, 3, 5, 0]
    expected = PEER.get_special_tokens_mask(ids, already_has_special_tokens=True)
    assert OURS.get_special_tokens_mask(ids, already_has_special_tokens=True) == expected
    with pytest.raises(InvalidInput, match="one sequence"):
        OURS.get_special_tokens_mask(ids, ids, already_has_special_tokens=True)


@pytest.mark.parametrize("padding", [True, False, "max_length"])
@pytest.mark.parametrize(
    "options", [{}, {"max_length": 9}, {"max_length": 9, "pad_to_multiple_of": 4}]
)
@pytest.mark.parametrize("tensors", [None, "np"])
def test_pad(padding, options, tensors):
    batch = {"input_ids": [[4, 7, 5], [4, 5]], "token_type_ids": [[0, 0, 0], [0, 0]]}
    single = {"input_ids": [4, 7, 5], "attention_mask": [1, 0, 1], "special_tokens_mask": [1, 0, 1]}
    rows = [{"input_ids": [4, 5], "score": 0.5}, {"input_ids": [4, 7, 5], "score": 1.5}]
    for given_ in (batch, single, rows):
        if tensors and padding is False and given_ is not single:
            continue
        every = {"padding": padding, "return_tensors": tensors, **options}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = PEER.pad(copy.deepcopy(given_), **every)
        assert_same(OURS.pad(given_, **every), expected)


def test_pad_keeps_the_kind_of_its_input():
    rows = [{"input_ids": torch.tensor([4, 5])}, {"input_ids": torch.tensor([4, 7, 5])}]
    assert_same(OURS.pad(rows), PEER.pad(copy.deepcopy(rows)))
    one = {"input_ids": np.array([[4, 5]])}
    assert_same(
        OURS.pad(one, max_length=4, padding="max_length"),
        {"input_ids": np.array([[4, 5, 0, 0]]), "attention_mask": np.array([[1, 1, 0, 0]])},
    )
    with pytest.raises(InvalidInput, match="pad needs input_ids: it was given labels"):
        OURS.pad({"labels": [1]})
    with pytest.raises(InvalidInput, match="its 2 rows"):
        OURS.pad({"input_ids": [[1], [2]], "labels": [1]})


def test_result_is_a_mapping_with_attributes():
    encoding = OURS("a[MASK]", return_tensors="pt")
    assert list(encoding.keys()) == ["input_ids", "attention_mask"]
    assert encoding.input_ids is encoding["input_ids"]
    encoding.input_ids[0, 1] = OURS.mask_token_id
    assert encoding["input_ids"].tolist() == [[4, 3, 3, 5]]
    assert dict(**encoding).keys() == encoding.keys()
    encoding.labels = encoding.input_ids.clone()
    assert "labels" in encoding
    assert copy.deepcopy(encoding).input_ids.tolist() == [[4, 3, 3, 5]]
    with pytest.raises(AttributeError, match="no field 'logits': there is input_ids"):
        _ = encoding.logits


def test_result_moves_to_a_device_and_casts_only_floats():
    encoding = OURS("a", return_tensors="pt")
    encoding["scores"] = torch.zeros(2)
    encoding["note"] = "kept"
    moved = encoding.to("meta", dtype=torch.bfloat16)
    assert moved is encoding
    assert (moved.input_ids.device.type, moved.input_ids.dtype) == ("meta", torch.int64)
    assert (moved.scores.dtype, moved.note) == (torch.bfloat16, "kept")


def test_overflow_of_some_rows():
    encoding = OURS(["abc", "a"], max_length=4, truncation=True, return_overflowing_tokens=True)
    assert encoding["overflowing_tokens"] == [[105], []]
    assert encoding["num_truncated_tokens"] == [1, 0]


def test_an_empty_text_is_padded():
    encoding = OURS("", add_special_tokens=False, padding="max_length", max_length=2)
    assert encoding == {"input_ids": [0, 0], "attention_mask": [0, 0]}
    assert OURS("", add_special_tokens=False, return_tensors="np").input_ids.shape == (1, 0)
    assert OURS([], is_split_into_words=True).input_ids == [4, 5]


def test_no_limit_of_length():
    endless = PerceiverTokenizer(model_max_length=None)
    text = "a" * 3000
    for options in ({"truncation": True}, {"padding": "max_length"}):
        assert len(endless(text, **options).input_ids) == 3002
    assert_parity(text, truncation=True)


def test_a_long_text_is_kept_and_logged(caplog):
    with caplog.at_level(logging.WARNING):
        assert len(OURS("a" * 2047).input_ids) == 2049
        assert "2049 ids and the model takes at most 2048" in caplog.text
        caplog.clear()
        OURS("a" * 2047, verbose=False)
        OURS("a" * 2046)
        assert not caplog.text
        OURS(["a"], padding=True, max_length=5)
        assert "max_length=5 has no effect" in caplog.text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OURS("a\ud800b"), "character 1 of the text is U\\+D800"),
        (lambda: OURS(b"bytes"), "a text must be str, not bytes"),
        (lambda: OURS(["a", None]), "a text must be str, not NoneType"),
        (lambda: OURS([["a", "b", "c"]]), "give a pair as"),
        (OURS, "give text, text_target or both"),
        (lambda: OURS([]), "at least one text"),
        (lambda: OURS(["a", "b"], ["c"]), "text is a batch of 2"),
        (lambda: OURS(["a", "bb"], return_tensors="pt"), "set padding=True"),
        (lambda: OURS("a", return_tensors="tf"), "return_tensors='tf' is not known.*'pt'"),
        (lambda: OURS("a", return_tensors="jax"), "return_tensors='jax'"),
        (lambda: OURS("a", padding="most"), "choose one of 'longest'"),
        (lambda: OURS("a", truncation="some"), "choose one of 'longest_first'"),
        (lambda: OURS("a", max_length=0), "max_length is 0: it must be 1 or more"),
        (lambda: OURS("a", stride=-1), "stride is -1"),
        (lambda: OURS("a", padding=True, pad_to_multiple_of=0), "pad_to_multiple_of is 0"),
        (
            lambda: OURS("a", "b", truncation=True, return_overflowing_tokens=True),
            "only_first",
        ),
        (
            lambda: OURS("a", padding=True, truncation=True, max_length=5, pad_to_multiple_of=4),
            "max_length 5 is not a multiple",
        ),
        (lambda: OURS.decode([300]), "id 300 is outside"),
        (lambda: OURS.decode([-100]), "id -100 is outside"),
        (lambda: OURS.decode([1.5]), "ids must be int"),
        (lambda: OURS.decode([[1], [2]]), "batch_decode"),
        (lambda: OURS.convert_tokens_to_ids("ab"), "'ab' is not one token"),
        (lambda: PerceiverTokenizer(pad_token=""), "pad_token is ''"),
        (lambda: PerceiverTokenizer(pad_token=None), "pad_token is None"),
        (lambda: PerceiverTokenizer(padding_side="up"), "padding_side='up'"),
        (
            lambda: PerceiverTokenizer(mask_token=transformers.AddedToken("[M]", lstrip=True)),
            "mask_token has lstrip=true",
        ),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def test_offsets_are_not_kept():
    with pytest.raises(NotImplementedError, match="return_offsets_mapping"):
        OURS("a", return_offsets_mapping=True)


def test_enums_of_the_peer_are_understood():
    longest = transformers.tokenization_utils_base.PaddingStrategy.LONGEST
    numpy = transformers.TensorType.NUMPY
    assert_parity(["a", "bb"], padding=longest, return_tensors=numpy)


def test_unknown_options_are_logged(caplog):
    PerceiverTokenizer(do_lower_case=True)
    assert "no use for do_lower_case" in caplog.text
    OURS("a", add_prefix_space=True)
    assert "no use for add_prefix_space" in caplog.text


def test_saved_files_are_read_by_both(tmp_path):
    given_: dict[str, Any] = {
        "pad_token": "<ä>",
        "model_max_length": 77,
        "padding_side": "left",
        "truncation_side": "left",
        "split_special_tokens": True,
    }
    PerceiverTokenizer(**given_).save_pretrained(tmp_path / "ours")
    transformers.PerceiverTokenizer(**given_).save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        ours = PerceiverTokenizer.from_pretrained(tmp_path / folder)
        peer = transformers.PerceiverTokenizer.from_pretrained(tmp_path / folder)
        for tokenizer in (ours, peer):
            assert {name: getattr(tokenizer, name) for name in list(given_)[:4]} == {
                name: given_[name] for name in list(given_)[:4]
            }
        assert_parity("a[MASK]<ä>", ours=ours, peer=peer, padding="max_length")


def test_folders_without_and_with_a_bad_file(tmp_path):
    assert PerceiverTokenizer.from_pretrained(tmp_path)(TEXT) == OURS(TEXT)
    assert PerceiverTokenizer.from_pretrained(tmp_path, pad_token="<p>").pad_token == "<p>"
    file = tmp_path / "tokenizer_config.json"
    wrapped = {"__type": "AddedToken", "content": "[M]", "lstrip": False}
    file.write_text(json.dumps({"mask_token": wrapped, "model_max_length": 10**30, "other": 1}))
    loaded = PerceiverTokenizer.from_pretrained(tmp_path)
    assert loaded("[M]").input_ids == [4, 3, 5]
    for bad in ("{", "[]", '{"padding_side": "up"}', '{"model_max_length": "long"}'):
        file.write_text(bad)
        with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
            PerceiverTokenizer.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no model"):
        PerceiverTokenizer.from_pretrained(tmp_path / "missing")


def test_encoding_needs_neither_torch_nor_pillow():
    code = (
        "import sys; from perceiver_core.tokenizer import PerceiverTokenizer as T\n"
        "T()('a', return_tensors='np'); sys.exit(bool({'torch', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
