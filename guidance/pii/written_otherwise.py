"""Data that a page or a person writes otherwise: markup between the digits of a number, letters of a telephone's keys,
mail addresses without their end, numbers of driving licences behind their word.

All expressions read plain texts (`pii.folding`).
"""

from __future__ import annotations

from diffusionlm.guidance.pii.harmless import BETWEEN

_TAG = r"</?[A-Za-z!][^<>0-9\n]*>"
_ENTITY = r"&(?:[A-Za-z]+|#[xX]?[0-9A-Fa-f]+);"
_ESCAPE = r"\\[a-z]+|\\u[0-9a-f]{4}|%2[0-9A-Fa-f]"
_OR_MARKUP = rf"(?:{BETWEEN}|{_TAG}|{_ENTITY}|{_ESCAPE})*"
"""What may stand between digits, tags of HTML, entities and escapes too."""
IN_MARKUP = rf"[0-9]|{_TAG}|{_ENTITY}|{_ESCAPE}"
"""One of these is in every number with markup: what automata forbid in its place, as its own would be too large."""
NO_MARKUP = r"[^<&\\%]*"
CARD_IN_MARKUP = rf"(?:[3-6][0-9]|2[2-7])[0-9]{{2}}{_OR_MARKUP}[0-9]{{4}}{_OR_MARKUP}[0-9]{{4}}{_OR_MARKUP}[0-9]{{1,7}}"
PHONE_IN_MARKUP = (
    rf"0[0-9]{{2,4}}(?:{_OR_MARKUP}[0-9]{{3,4}}){{2}}"
    rf"|\+{BETWEEN}*[0-9]{{1,3}}(?:{_OR_MARKUP}[0-9]{{2,4}}){{3}}"
    rf"|[2-9][0-9]{{2}}{_OR_MARKUP}[0-9]{{3}}{_OR_MARKUP}[0-9]{{4}}"
)
SOCIAL_SECURITY_IN_MARKUP = rf"[0-9]{{3}}{_OR_MARKUP}[0-9]{{2}}{_OR_MARKUP}[0-9]{{4}}"

_JOIN = r"[ \-./_)]{0,2}"
_TOLL_FREE = r"8(?:00|22|33|44|55|66|77|88)"
VANITY = (
    rf"1{_JOIN}\(?(?:{_TOLL_FREE}|900){_JOIN}[A-Z0-9](?:[\-. ]?[A-Z0-9]){{5,}}",
    rf"(?:{_TOLL_FREE}|0[58]0[08]|1[38]00)(?:-|\) ?)[A-Z0-9](?:-?[A-Z0-9]){{4,}}",
    rf"1[\-.](?:{_TOLL_FREE}|900)[\-.][A-Za-z0-9](?:-?[A-Za-z0-9]){{5,}}",
)
"""Numbers free of charge whose last digits are letters of the keys."""
VANITY_CALLED = r"(?:[0-9]{3}-|[01][0-9]{3}[ \-])[A-Z](?:-?[A-Z0-9]){3,7}"
NO_LETTERS = r"[^A-Za-z]*"

_PROVIDER = (
    r"(?:g[ \-]?mail|google ?mail|hot ?mail|y ?mail|yahoo(?:[ \-]?mail)?|icloud|i ?cloud|aol|gmx|proton ?mail|outlook"
    r"|fast ?mail|zoho(?: ?mail)?|live ?mail|web ?mail)"
)
MAIL_AT_PROVIDER = rf"[\w.+\-]+(?: ?\( ?at ?\) ?|[ _\-|/]at[ _\-|/]){_PROVIDER}"
_NO_NAME = (
    "a|an|the|and|or|but|not|is|are|was|were|be|been|am|being|it|that|this|there|here|me|him|her|us|them|you|you|he|she|we|they|one"
    "|only|also|still|just|even|now|then|back|up|down|in|out|on|off|over|people|everyone|everybody|someone|anyone|nobody"
    "|work|works|worked|working|job|jobs|team|teams|engineer|engineers|developer|developers|designer|manager|employee|employees"
    "|boss|intern|look|looks|looked|looking|start|starts|started|account|accounts|address|addresses|mail|mails|email|emails"
    "|e-mail|e-mails|inbox|sign|signed|log|logged|login|arrive|arrives|arrived|employed|folks|support|service|problem|problems"
    "|outage|outages|bug|bugs|spam|filter|filters|storage|happened|used|free|available|times|least|angry|good|better|best|man|woman"
)
NO_NAME_AT_PROVIDER = rf"(?:{_NO_NAME})[^\w].*"
"""Words of a sentence that stand before "at Gmail"."""

LICENCE_LEAD = (
    r"(?:(?:driv(?:er'?s?|ing) )?licen[cs]e (?:(?:number|num|no\.?|nr\.?|id|#)(?: is| was)?|is|was)"
    r"|driv(?:er'?s?|ing) licen[cs]e|dl (?:number|no\.?|#)(?: is)?|permis(?: de conduire)?(?: no?\.?)?"
    r"|fuhrerschein(?:nummer|nr\.?)?|rijbewijs(?:nummer)?|carn[eo]t? de conducir|patente(?: di guida)?)"
    r"[ :#=(]{1,3}[A-Z]{0,5}[ \-]?"
)
"""What comes before the number of a driving licence, its letters too."""
LICENCE = r"[0-9](?:[ \-]?[0-9]|-?[A-Z]){4,}"
FEW_DIGITS = r"[^0-9]*(?:[0-9][^0-9]*){0,2}"
