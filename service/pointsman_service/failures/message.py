"""What a message says without what differs each time. Linear in the length of the message, which is cut before."""

import re
from functools import lru_cache

_LONGEST_READ = 2048
"""Characters: as long as a worker reports one."""
LONGEST = 300
"""Characters of what is left."""

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:\s?[AP]M)?(?:Z|\s?[+-]\d\d:?\d\d|\s?UTC|\s?GMT)?"
_NAME = r"[\w.@+~%=-]"

# Each begins where no word does before it, and takes what it takes at once: no text makes it go back far. Only single
# characters are possessive: Python 3.11.4 and older match possessive groups wrongly (CPython issue 106052).
_VARYING = re.compile(
    rf"""
      (?P<url>(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{{1,20}}+://[^\s"'<>`]*+)
    | (?P<mail>(?<![\w.+-])[\w.+-]{{1,64}}+@[\w-]{{1,64}}+(?:\.[\w-]{{1,64}}+)*)
    | (?P<text>
          (?<!\w)[bBrRuUfF]{{0,2}}"[^"\\]*+(?:\\.[^"\\]*+)*(?:"|\\?\Z)
        | (?<!\w)[bBrRuUfF]{{0,2}}'[^'\\]*+(?:(?:\\.|(?<=\w)'(?=\w))[^'\\]*+)*(?:(?<!\w)'|'(?!\w)|\\?\Z)
        | “[^”]*+(?:”|\Z) | `[^`]*+(?:`|\Z) | «[^»]*+(?:»|\Z)
      )
    | (?P<time>
          \b\d{{4}}-\d\d-\d\d(?:[T ]{_CLOCK})?
        | \b(?:{_DAY},?\ )?(?:\d{{1,2}}[ /-])?{_MONTH}[ /-]\d{{1,4}}(?:[ /:,]{{1,2}}(?:{_CLOCK}|\d{{4}})){{0,2}}
        | \b\d{{1,4}}/\d{{1,2}}/\d{{2,4}}(?:[ :,]{{1,2}}{_CLOCK})?
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
        | (?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{{20,}}+
        | (?<![A-Za-z0-9])(?:[A-Za-z]++[0-9]++[A-Za-z]|[0-9]++[A-Za-z]++[0-9])[A-Za-z0-9]*+
        | [-+]?\d++(?:[.,_]\d++)*(?:[eE][+-]?\d++)?
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
    told = _VARYING.sub(_word, message[:_LONGEST_READ])
    told = _SPACE.sub(" ", _SERIES.sub(r"\1", told)).strip()
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"
