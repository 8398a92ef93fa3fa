"""Found text made alike: quotes, dashes, spaces, capitals; and the reasons for which a text is left out."""

from __future__ import annotations

import re
import unicodedata

from diffusionlm.corpora.open_mix.sentences import sentence_ranges

MIN_WORDS, MAX_WORDS, MAX_CHARACTERS = 3, 45, 270

_ALIKE = str.maketrans({
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "`": "'", "´": "'",
    "…": "...", "\u00ad": "", "\u200b": "", "\ufeff": "",
})  # fmt: skip
_DOUBLE_QUOTE = re.compile(r"''")
_DASH = re.compile(r"(?<!\d) *(?:[–—―]|-{2,}) *| *(?:[–—―]|-{2,}) *(?!\d)")
_NUMBER_DASH = re.compile(r"(?<=\d) *[–—―] *(?=\d)")
_REPEATED = re.compile(r"([!?,;:])(?:\s*\1)+")
_DOTS = re.compile(r" ?\.(?: ?\.)+")
_SPACES = re.compile(r"\s+")
_SMALL_I = re.compile(r"(?<![\w'.@/-])i(?=$|[ ,!?;:\")]|\.(?!\w)|'(?:m|ll|ve|d|s)\b)")
_FIRST_LETTER = re.compile(r"[\"'(\[]*([a-zà-öø-ÿ])")
_CLOSERS = "\"')]"

# A link, an address, a name on a network, a tag, an entity, wiki or template marks.
_MARKUP = re.compile(
    r"https?:|www\.|\w\.(?:com|org|net|edu|gov|ca|co|uk)\b|\S@\S|(?:^|\s)[@#]\w|\bRT\b|</?\w+[^>]*>|&\w+;|\[\[|\]\]|[{}<>|\\^~_*=]"
)
_MOJIBAKE = re.compile(r"[ÃÂâ][\u0080-\u00bf€™œ]|ï¿½|\ufffd|[\u0080-\u009f]")
_STRANGE = re.compile(r"[^A-Za-zÀ-ÖØ-öø-ÿŒœŠšŽžŁłĀ-ſ0-9 .,;:!?'\"()\[\]/&%$£€°½+-]")


def tidy(text: str) -> str:
    """Straight quotes, ` - ` for dashes, `...` for ellipses, one mark for repeated ones, single spaces."""
    text = _DOUBLE_QUOTE.sub('"', unicodedata.normalize("NFC", text).translate(_ALIKE))
    text = _DASH.sub(" - ", _NUMBER_DASH.sub("-", text))
    return _SPACES.sub(" ", _DOTS.sub("...", _REPEATED.sub(r"\1", text))).strip()


def capitalise(text: str) -> str:
    """The text, of the same length, with a capital at each start of a sentence and for the word "I"."""
    letters = list(_SMALL_I.sub("I", text))
    for start, end in sentence_ranges(text):
        first = _FIRST_LETTER.match(text, start, end)
        if first and len(first[1].upper()) == 1:
            letters[first.start(1)] = first[1].upper()
    return "".join(letters)


def close(text: str) -> str:
    """The text with a full stop where it ends without a mark."""
    text = text.rstrip(" ,;:-")
    return text if not text or text.rstrip(_CLOSERS)[-1:] in tuple(".!?") else text + "."


def unquoted(text: str) -> str:
    """The text without a quotation mark at its edge that has no partner, as a sentence cut out of speech has."""
    if text.count('"') == 1:
        return text.strip('"').strip()
    return text


def reason_to_drop(text: str, min_words: int = MIN_WORDS, max_words: int = MAX_WORDS) -> str | None:
    """Why a text is no example of good English, in a word or two; None if it may stay."""
    words = text.split()
    if len(words) < min_words:
        return "too short"
    if len(words) > max_words or len(text) > MAX_CHARACTERS:
        return "too long"
    if _MARKUP.search(text):
        return "link or markup"
    if _MOJIBAKE.search(text) or _STRANGE.search(text):
        return "strange characters"
    letters = sum(map(str.isalpha, text))
    if letters < 0.65 * len(text):
        return "mostly no letters"
    if letters > 12 and sum(map(str.isupper, text)) > 0.5 * letters:
        return "capitals"
    if text.count('"') % 2 or text.count("(") != text.count(")") or text.count("[") != text.count("]"):
        return "unpaired marks"
    if max(map(len, words)) > 24:
        return "overlong word"
    return None
