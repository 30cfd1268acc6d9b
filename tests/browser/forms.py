"""The forms of pages, as a browser would send them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from tests.browser.site import ROOT


@dataclass
class Form:
    """One that does something: where it goes, and what it holds."""

    action: str
    """Below the dashboard, with its query."""
    hidden: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    """What somebody can type or choose, with what stands in it."""
    choices: dict[str, list[str]] = field(default_factory=dict)
    word: str = ""
    """To be typed."""

    @property
    def path(self) -> str:
        """Where it goes, without its query."""
        return self.action.partition("?")[0]

    def filled(self, **other: str) -> dict[str, str]:
        """As somebody would send it who knows what they do."""
        usual = {"reason": "because", "typed": self.word, "who": "ada", "grace": "5"}
        given = {name: value or usual.get(name, "") for name, value in self.shown.items()}
        return self.hidden | given | other


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._url = url
        self._form: Form | None = None
        self._text = ""
        self._area: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form" and given.get("method", "").lower() == "post":
            parts = urlsplit(urljoin(self._url, given["action"]))
            self._form = Form(parts.path.removeprefix(ROOT) + (f"?{parts.query}" if parts.query else ""))
        form = self._form
        if form is None:
            return
        name = given.get("name", "")
        if tag == "input" and name:
            (form.hidden if given.get("type") == "hidden" else form.shown)[name] = given.get("value", "")
        elif tag == "textarea":
            self._area, self._text = name, ""
        elif tag == "select":
            self._select = name
            form.choices[name] = []
        elif tag == "option" and self._select is not None:
            value = given.get("value", "")
            form.choices[self._select].append(value)
            if "selected" in given or self._select not in form.shown:
                form.shown[self._select] = value
        elif tag == "strong":
            self._text = ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        form = self._form
        if form is None:
            return
        if tag == "form":
            self.forms.append(form)
            self._form = None
        elif tag == "textarea" and self._area is not None:
            # A first line break belongs to the markup.
            form.shown[self._area] = self._text.removeprefix("\n")
            self._area = None
        elif tag == "select":
            self._select = None
        elif tag == "strong" and not form.word:
            form.word = self._text


def forms_of(url: str, page: str) -> list[Form]:
    """All forms of a page that do something, but for those that are on every page."""
    reader = _Reader(url)
    reader.feed(page)
    return [form for form in reader.forms if form.path != "preferences"]
