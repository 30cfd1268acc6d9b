"""What a message says without what differs each time. Linear in the length of the message, which is cut before."""

import re
from functools import lru_cache

from pointsman_contract.sealing import is_sealed

_LONGEST_READ = 2048
"""Characters: as long as a worker reports one."""
LONGEST = 300
"""Characters of what is left."""

_MONTH = r"(?:Jan|Feb|Mar|Mär|Apr|May|Mai|Jun|Jul|Aug|Sep|O[ck]t|Nov|De[cz])[a-z]{0,6}"
_WHOLE_MONTH = (
    r"(?:Jan(?:uary|uar)?|Feb(?:ruary|ruar)?|Mar(?:ch)?|März?|Apr(?:il)?|May|Mai|June?|Juni|July?|Juli"
    r"|Aug(?:ust)?|Sept?(?:ember)?|O[ck]t(?:ober)?|Nov(?:ember)?|De[cz](?:ember)?)"
)
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:\s?[AP]M)?(?:Z|\s?[+-]\d\d:?\d\d|\s?UTC|\s?GMT)?"
_NAME = r"[\w.@+~%=-]"
_KUBERNETES = "[bcdfghjklmnpqrstvwxz2456789]"
"""What Kubernetes ends the names of pods with: no vowels, so that they are no words."""
_OF_POD = rf"{_KUBERNETES}{{6,10}}-{_KUBERNETES}{{5}}(?![\w-])"

# Each begins where no word does before it, and takes what it takes at once: no text makes it go back far. None begins
# within letters, which is asked first, for most of a message is that. Only single characters are possessive: Python
# 3.11.4 and older match possessive groups wrongly (CPython issue 106052).
_VARYING = re.compile(
    rf"""
      (?!(?<=[A-Za-z])[A-Za-z])(?:
      (?P<url>(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{{1,20}}+://[^\s"'<>`]*+)
    | (?P<mail>(?<![\w.+-])[\w.+-]{{1,64}}+@[\w-]{{1,64}}+(?:\.[\w-]{{1,64}}+)*)
    | (?P<text>
          (?<!\w)[bBrRuUfF]{{0,2}}"[^"\\]*+(?:\\.[^"\\]*+)*(?:"|\\?\Z)
        | (?<!\w)[bBrRuUfF]{{0,2}}'[^'\\]*+(?:(?:\\.|(?<=\w)'(?=\w))[^'\\]*+)*(?:(?<!\w)'|'(?!\w)|\\?\Z)
        | (?=[„“\u201a\u2018«»\u2039\u203a「`])(?:
              „[^“”"]*+(?:[“”"]|\Z) | “[^”]*+(?:”|\Z) | `[^`]*+(?:`|\Z)
            | \u201a[^\u2018\u2019]*+(?:\u2019(?=\w)[^\u2018\u2019]*+)*(?:[\u2018\u2019]|\Z)
            | (?<!\w)\u2018[^\u2019]*+(?:\u2019(?=\w)[^\u2019]*+)*(?:\u2019|\Z)
            | «[^»]*+(?:»|\Z) | »[^«»]*+« | \u2039[^\u203a]*+(?:\u203a|\Z) | \u203a[^\u2039\u203a]*+\u2039
            | 「[^」]*+(?:」|\Z)
          )
      )
    | (?P<time>
          \b\d{{4}}-\d\d-\d\d(?:[T ]{_CLOCK})?
        | \b(?:{_DAY},?\ )?(?:\d{{1,2}}\.?[ /-])?{_MONTH}\.?[ /-]\d{{1,4}}(?:[ /:,]{{1,2}}(?:{_CLOCK}|\d{{4}})){{0,2}}
        | \b\d{{1,2}}\.?[ /-]{_WHOLE_MONTH}(?!\w)
        | \b\d{{1,4}}/\d{{1,2}}/\d{{1,4}}(?![\d/\\])(?:[ :,]{{1,2}}{_CLOCK})?
        | (?<![\w:]){_CLOCK}(?![\w:])
      )
    | (?P<host>
          \b\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d{{1,5}})?(?:/\d{{1,2}})?\b
        | (?<![\w:])\[?(?=[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]{{2,45}}+(?:%\w{{1,16}})?\]?(?::\d{{1,5}})?(?![\w:])
        | (?i:\blocalhost:\d{{1,5}}\b)
        | \b(?:[A-Za-z0-9-]{{1,63}}+\.){{1,10}}[A-Za-z0-9-]{{1,63}}+:\d{{1,5}}\b
      )
    | (?P<path>
          (?<![\w/\\.])(?:~|\.{{1,2}}|[A-Za-z]:)?(?:[/\\]{_NAME}++)+[/\\]?(?:\?[^\s"'<>)`]*+)?
        | (?<![\w/\\.-])[\w.-]++(?:[/\\]{_NAME}++){{2,}}[/\\]?
        | (?<![\w/\\.-])[\w.-]++[/\\]{_NAME}{{1,200}}\.[A-Za-z]\w{{0,7}}\b
      )
    | (?P<id>
          \b[0-9A-Fa-f]{{8}}-[0-9A-Fa-f]{{4}}-[0-9A-Fa-f]{{4}}-[0-9A-Fa-f]{{4}}-[0-9A-Fa-f]{{12}}\b
        | 0[xX][0-9A-Fa-f]++
        | (?<![A-Za-z0-9])[0-9A-Fa-f]{{7,}}+(?![A-Za-z0-9])
        | (?<![A-Za-z0-9])(?=[a-fA-F]*[0-9])[0-9A-Fa-f]{{6}}(?![A-Za-z0-9])
        | (?<![A-Za-z0-9])[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{{26}}(?![A-Za-z0-9])
        | (?<![A-Za-z0-9]){_OF_POD}
        | (?<=[a-z0-9]-)(?!https){_KUBERNETES}{{5}}(?![\w-])
        | (?<![\w-])(?![\w-]*-{_OF_POD})(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{{20,}}+
        | (?<![\w-])(?=[A-Z0-9-]*(?:[A-Z][0-9]|[0-9][A-Z]))[A-Z0-9]{{2,10}}(?:-[A-Z0-9]{{2,10}}){{1,4}}(?![\w-])
        | (?<![A-Za-z0-9])(?:[A-Za-z]++[0-9]++[A-Za-z]|[0-9]++[A-Za-z]++[0-9])[A-Za-z0-9]*+
        | (?:(?<!\w)[-+])?\d++(?:[.,_]\d++)*(?:[eE][+-]?\d++)?
      )
      )
    """,
    re.VERBOSE | re.ASCII,
)
_WORDS = {"url": "<url>", "mail": "<mail>", "text": "<text>", "time": "<time>", "host": "<host>", "path": "<path>"}
_NUMBER = "<n>"
"""For numbers and ids of any kind: of an id in hexadecimal digits one in fifty has no letter."""
_SERIES = re.compile(r"(<[a-z]{1,4}>)(?:[\s,.;:/_=+-]{0,3}<[a-z]{1,4}>)+")
_SPACE = re.compile(r"\s+")


def _word(found: re.Match[str]) -> str:
    return _WORDS.get(found.lastgroup or "", _NUMBER)


@lru_cache(maxsize=1024)
def normalised(message: str) -> str:
    """The message with a word for each id, number, time, URL, path, mail address, address of a host and quoted text; a
    series of them is one. At most 300 characters, in one line.
    """
    if is_sealed(message):
        # Whoever may, has it opened.
        return message
    told = _VARYING.sub(_word, message[:_LONGEST_READ])
    told = _SPACE.sub(" ", _SERIES.sub(r"\1", told)).strip()
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"
