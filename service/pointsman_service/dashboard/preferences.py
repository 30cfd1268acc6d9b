"""How somebody likes to see the dashboard: kept in a cookie of their browser, and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

COOKIE: Final = "pointsman_view"
SECONDS: Final = 400 * 86_400
THEMES: Final = ("auto", "light", "dark")


@dataclass(frozen=True)
class Preferences:
    """The light, and whether single keys do something."""

    theme: str = "auto"
    keys: bool = True

    @classmethod
    def read(cls, value: str | None) -> Self:
        """Those of a cookie, or the defaults where it says nothing sane."""
        theme, _, keys = (value or "").partition(".")
        return cls(theme if theme in THEMES else "auto", keys != "nokeys")

    @property
    def packed(self) -> str:
        """The value of the cookie."""
        return f"{self.theme}.{'keys' if self.keys else 'nokeys'}"

    @property
    def next_theme(self) -> str:
        """What the button for the light changes to."""
        return THEMES[(THEMES.index(self.theme) + 1) % len(THEMES)]

    def changed(self, form: Mapping[str, str]) -> Self:
        """With what a form says."""
        theme = form.get("theme", self.theme)
        keys = form.get("keys", "on" if self.keys else "off") != "off"
        return type(self)(theme if theme in THEMES else self.theme, keys)
