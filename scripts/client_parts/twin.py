"""The blocking half of the client, made of the asynchronous one: the same words without waiting."""

import re

_WORDS = (
    (r"  # noqa: ASYNC\d+ - [^\n]*$", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(Iterator|Iterable|Generator)\b", r"\1"),
    (r"\bAsyncContextManager\b", "ContextManager"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bpointsman_client\.aio\b", "pointsman_client.sync"),
    (r"\bclient\.aio\b", "client.sync"),
    (r"\bAsync(Client|Flag|Hold|Lines|Loop|Turn|Wire)\b", r"\1"),
    (r"\basync_to_the_end\b", "to_the_end"),
    (r"\bapause\b", "pause"),
    (r"\baclos(e|ing)\b", r"clos\1"),
    (r"\banext\(", "next("),
    (r"\baiter\(", "iter("),
)


def twin_of(text: str) -> str:
    """The module that does the same and blocks."""
    for pattern, word in _WORDS:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text
