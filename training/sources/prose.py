"""Plain English paragraphs out of marked-up text: strip tags, tidy, and judge what is prose."""

import html
import re
import unicodedata

_TAG = re.compile(r"<[^>]*>")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z])")
_HTML_PARAGRAPH = re.compile(
    r"<(?:p|dd)\b[^>]*>(.*?)(?=</?(?:p|dd|dl|ul|ol|div|pre|table|li)\b)", re.DOTALL
)
_TYPEWRITER = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2212": "-",
        "\u2014": " - ", "\u2015": " - ", "\u2026": "...",
        "\u00a0": " ", "\u2009": " ", "\u200a": " ", "\u202f": " ", "\u200b": None, "\u00ad": None,
    }
)  # fmt: skip


def tidy(text: str) -> str:
    """NFC, one space between words, typewriter quotes and dashes: what people type."""
    text = unicodedata.normalize("NFC", text).translate(_TYPEWRITER)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ([,.;:!?)])", r"\1", text).strip()


def strip_tags(text: str) -> str:
    """Text without tags (which may sit inside a sentence, so nothing takes their place)."""
    return html.unescape(_TAG.sub("", text))


def html_paragraphs(page: str) -> list[str]:
    """The text of each <p> and <dd> of a documentation page, tidied."""
    return [tidy(strip_tags(inner)) for inner in _HTML_PARAGRAPH.findall(page)]


def is_prose(text: str, shortest: int = 80, letters: float = 0.85) -> bool:
    """Long enough, ends like a sentence, and is made of more than `letters` letters and spaces."""
    if len(text) <= shortest or not re.search(r"[.!?][\"')]*$", text):
        return False
    return sum(c.isalpha() or c == " " for c in text) > letters * len(text)


def pieces(text: str, size: int = 600) -> list[str]:
    """A long text cut at sentence ends into pieces of about `size` characters."""
    found: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match.end() - start >= size:
            found.append(text[start : match.end()].strip())
            start = match.end()
    rest = text[start:].strip()
    return [*found, rest] if rest else found
