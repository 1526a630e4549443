"""Clean sentences out of the LibreOffice help pages (Debian `libreoffice-help-*`, MPL-2.0)."""

import html
import re
import unicodedata
from pathlib import Path

# The classes that hold running text. Headings, index entries, code and table headers are left out.
_PARAGRAPH = re.compile(
    r'<p id="[^"]*" class="(?:paragraph|embedded|listitem|ol_item|ul_item|(?:\w+ )?paragraphintable'
    r'|tablecontentintable|related)"[^>]*>(.*?)</p>',
    re.DOTALL,
)
# What a reader of the manual would type or click: a sentence that holds one is not plain prose.
_NOT_PROSE = frozenset({"menuitem", "literal", "input", "keycode", "widget", "code"})
_MARK = "\ufffc"
_INNERMOST_SPAN = re.compile(r"<span\b([^>]*)>([^<]*)</span>")
_CLASS = re.compile(r'class="([^"]*)"')
_CODE = re.compile(r"<code.*?</code>|<img[^>]*>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_PRODUCT = re.compile(r"LibreOffice(?: (?:Writer|Calc|Impress|Draw|Base|Math|Basic))?(?: 7\.\d)?")
# Latin full stops need a following space; the CJK and Devanagari ones do not.
_WIDE_STOPS = "\u3002\uff01\uff1f\u0964"
FULL_STOPS = ".!?" + _WIDE_STOPS
_SENTENCE_END = re.compile(rf"(?<=[.!?;])\s+|(?<=[{_WIDE_STOPS}])\s*")
_CODE_LIKE = re.compile(
    _MARK
    + r"|[=<>{}\\_|%$#@*\[\]/+^~]|https?:|www\.|\w\(|->"
    + r"|\b[A-Z][A-Z0-9.]{3,}\b"  # SUM.XMY2, HTML
    + r"|\b[a-z]+[A-Z]\w*"  # getFoo
)


def _plain(inner: str) -> str:
    """The text of one paragraph's HTML, with _MARK where something was not prose."""
    text = _CODE.sub(_MARK, inner)
    text = re.sub(r"</?(?:a|b|i|em|strong)\b[^>]*>", "", text)
    text = re.sub(r"<br[^>]*>", " ", text)

    def unwrap(match: re.Match[str]) -> str:
        named = _CLASS.search(match[1])
        kind = named[1] if named else ""
        if kind == "MAC":  # the same words again, for the other operating system
            return ""
        return _MARK if kind in _NOT_PROSE else match[2]

    before = ""
    while before != text:
        before, text = text, _INNERMOST_SPAN.sub(unwrap, text)
    text = html.unescape(_TAG.sub(" ", text))
    text = _PRODUCT.sub(" ", text)
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ([,.;:!?])", r"\1", text).strip()  # what a removed product name left behind


def paragraphs(root: Path) -> list[list[str]]:
    """Every different paragraph under `root`, in page order: its prose sentences, never none."""
    seen: set[str] = set()
    found: list[list[str]] = []
    for page in sorted(root.rglob("*.html")):
        for inner in _PARAGRAPH.findall(page.read_text(encoding="utf-8", errors="replace")):
            if inner in seen:
                continue
            seen.add(inner)
            parts = [part.strip() for part in _SENTENCE_END.split(_plain(inner))]
            prose = [part for part in parts if len(part) >= 8 and not _CODE_LIKE.search(part)]
            if prose:
                found.append(prose)
    return found
