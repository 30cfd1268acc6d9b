"""Text of a task, made short enough to be kept, and such that any database can hold it."""

from pointsman_contract.clean_text import clean

_MARK = "…"


def cut(text: str, most_bytes: int) -> str:
    """The beginning of the text, at most so many bytes; ``…`` stands for what is cut."""
    # The length of a text is the least number of its bytes: nobody encodes a hundred megabytes to keep a few.
    shown = clean(text[: most_bytes + 1])
    if len(text) <= most_bytes and (len(shown) * 4 <= most_bytes or len(shown.encode()) <= most_bytes):
        return shown
    return shown.encode()[: most_bytes - 4].decode(errors="ignore") + f"{_MARK}\n"


def newest(text: str, most_bytes: int) -> str:
    """The last lines of the text, at most so many bytes; a line with ``…`` stands for what is cut."""
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    tail = encoded[-(most_bytes - 8) :].decode(errors="ignore")
    return f"{_MARK}\n" + tail[tail.find("\n") + 1 :]
