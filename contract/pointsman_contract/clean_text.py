"""Text that PostgreSQL, JSON and UTF-8 can hold."""


def clean(text: str) -> str:
    """Without NUL characters and lone halves of surrogate pairs, which become U+FFFD. Two halves that belong together
    become the one character that they are.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")
