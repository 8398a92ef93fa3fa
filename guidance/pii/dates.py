"""Dates of birth as expressions over plain texts (`pii.folding`): in digits, in words, in seven languages."""

from __future__ import annotations

import re

from diffusionlm.guidance.pii.folding import plain
from diffusionlm.guidance.pii.harmless import S

_MONTHS = (
    # English, German, French, Spanish, Italian, Portuguese, Dutch: whole words and their usual short forms
    "january jan february feb march mar april apr may june jun july jul august aug september sept sep october oct november"
    " nov december dec januar januari jaenner februar februari marz maerz mai juni juli oktober okt dezember dez"
    " janvier janv fevrier fevr fev mars avril avr juin juillet juil aout septembre octobre novembre decembre"
    " enero ene febrero marzo abril abr mayo junio julio agosto ago septiembre octubre noviembre diciembre dic"
    " gennaio febbraio aprile maggio mag giugno giu luglio lug settembre ottobre ott dicembre"
    " janeiro fevereiro marco maio junho julho setembro outubro novembro dezembro maart mrt mei augustus"
)
MONTH = rf"(?:{'|'.join(sorted(set(_MONTHS.split()), key=len, reverse=True))})"
_DAY, _MONTH_NUMBER = r"(?:0?[1-9]|[12][0-9]|3[01])", r"(?:0?[1-9]|1[0-2])"
_BIRTH_YEAR = r"(?:19[0-9]{2}|20[01][0-9])"
_SHORT_YEAR = r"[013-9][0-9]"
_UNITS = "first second third fourth fifth sixth seventh eighth ninth"
_ORDINALS = (
    *_UNITS.split(),
    *[
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
    ],
    *["twentieth", "thirtieth"],
)
_ORDINAL = rf"(?:{'|'.join(_ORDINALS)}|twenty{S}(?:{_UNITS.replace(' ', '|')})|thirty{S}first)"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_YEAR_WORDS = (
    rf"(?:nineteen{S}(?:hundred{S}(?:and{S})?|oh{S})?(?:(?:{_TENS})(?:{S}(?:{_ONES}))?|{_TEENS}|{_ONES})"
    rf"|two{S}thousand(?:{S}(?:and{S})?(?:{_ONES}|{_TEENS}))?|twenty{S}(?:{_TEENS}))"
)
_SUFFIX = r"(?:st|nd|rd|th|er|eme|te|ter|ten|o|a)?"
_LINK = rf"{S}(?:(?:day|of|de|del|do|the|den|im|in|month|year){S})*"
_CARDINAL = rf"(?:{_ONES}|{_TEENS}|twenty(?:{S}(?:{_ONES}))?|thirty(?:{S}one)?)"
_DAY_WORD = rf"(?:{_DAY}{S}{_SUFFIX}|{_ORDINAL}|{_CARDINAL})"
_YEAR = rf"(?:{_BIRTH_YEAR}|{_YEAR_WORDS})"

_CLOSE = r"(?: ?(?:[./\-|_~*+]|[^\w\s,;:!?()£$€¥₹%°×÷\ufffc]) ?|[ ,:;\n])"
"""What stands between the numbers of a date: a sign, with blanks around it or not, or one blank; no ", " of a list."""

NUMERIC: tuple[str, ...] = (
    rf"{_DAY}{_CLOSE}{_DAY}{_CLOSE}{_BIRTH_YEAR}",
    "|".join(rf"{_DAY}{sign}{_DAY}{sign}{_SHORT_YEAR}" for sign in (r"\.", "/", "-", "_")),
    rf"{_BIRTH_YEAR}{_CLOSE}{_MONTH_NUMBER}{_CLOSE}{_DAY}",
    r"(?:19[0-9]{2}|20[01][0-9])(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])",
)
"""Dates in digits, which stand between other characters than digits."""

IN_WORDS: tuple[str, ...] = (
    rf"{_DAY_WORD}{_LINK}{MONTH}{_LINK}{_YEAR}",
    rf"{_DAY}{_SUFFIX}[ ./\-_](?:of )?{MONTH},?(?:[./\-_]'?| '){_SHORT_YEAR}",
    rf"{MONTH}{_LINK}{_DAY_WORD}{_LINK}{_YEAR}",
    rf"{_YEAR}{_LINK}{MONTH}{_LINK}{_DAY_WORD}",
)
"""Dates with the month in letters, in any case; they stand between other characters than letters and digits."""

_OTHER_MONTHS = (
    # Russian, Ukrainian, Polish, Czech, the Nordic languages, Turkish, Greek, Romanian
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря"
    " январь февраль апрель июнь июль сентябрь октябрь ноябрь декабрь"
    " січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня"
    " stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia"
    " ledna února března dubna května června července srpna září října prosince"
    " januari februari mars maj juni juli augusti marts oktober desember tammikuuta helmikuuta maaliskuuta huhtikuuta"
    " toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta lokakuuta marraskuuta joulukuuta"
    " ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık"
    " ιανουαρίου φεβρουαρίου μαρτίου απριλίου μαΐου ιουνίου ιουλίου αυγούστου σεπτεμβρίου οκτωβρίου νοεμβρίου δεκεμβρίου"
    " ianuarie februarie martie aprilie iunie iulie septembrie octombrie noiembrie decembrie"
)
_ROMAN = "i ii iii iv v vi vii viii ix x xi xii"


def _plainly(words: str) -> str:
    """Words in plain form, in small letters, with one capital and in capitals as these look, longest first."""
    found = {plain(form).text.lower() for word in words.split() for form in (word, word.capitalize(), word.upper())}
    return "|".join(sorted(map(re.escape, found), key=len, reverse=True))


_OTHER_MONTH = rf"(?:{_plainly(_OTHER_MONTHS)})"
OTHER_WORDS: tuple[str, ...] = (
    rf"{_DAY}{S}{_OTHER_MONTH}{S}{_BIRTH_YEAR}",
    rf"{_DAY}[ ./\-]{{1,2}}(?:{'|'.join(_ROMAN.split())})[ ./\-]{{1,2}}{_BIRTH_YEAR}",
    rf"(?:{_BIRTH_YEAR} ?[年년] ?{_MONTH_NUMBER} ?[月월] ?{_DAY} ?[日일]"
    rf"|昭和 ?[0-9]{{1,2}} ?年 ?{_MONTH_NUMBER} ?月 ?{_DAY} ?日)",
    rf"{_DAY}{MONTH}{_SHORT_YEAR}",
    rf"{_DAY}{_SUFFIX} (?:of )?{MONTH} of '{_SHORT_YEAR}",
)
"""Dates whose months stand in other languages, scripts or numerals, or without a space."""
ANY_IN_WORDS = rf"{_DAY_WORD}{_LINK}{MONTH}(?:{S}(?:[0-9]{{2}}|(?:19|20)[0-9]{{2}}))?|{MONTH}{_LINK}{_DAY_WORD}"
"""A day and a month, behind what makes any date one of birth."""

BORN = r"(?:born|birth(?:day|date)?|d\.?o\.?b\.?)(?:[ \n:]{1,3}(?:is|was|on|the)){0,2}[ \n:=\-(]{1,3}"
"""What makes any date behind it one of birth."""
ANY_NUMERIC = rf"{_DAY}{_CLOSE}{_DAY}{_CLOSE}(?:(?:19|20)[0-9]{{2}}|[0-9]{{2}})|[0-9]{{6}}"

GUARDS: tuple[str, ...] = (
    rf"[0-9]{_CLOSE}[0-9]{{1,2}}{_CLOSE}[0-9]{{2}}",
    rf"(?:[0-9]|th|st|nd|rd)[^\w]{{0,2}}(?:of )?{MONTH}[^\w]{{0,2}}(?:of )?(?:19|20[01])",
    rf"{MONTH}[^\w]{{0,2}}(?:the )?[0-9]",
)
"""Simpler and wider, for the steps on the way."""
