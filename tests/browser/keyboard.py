"""Somebody who has no mouse: where they are can be seen."""

from typing import Final

from playwright.async_api import Locator, Page

_MOST_KEYS: Final = 100
_WHERE: Final = """element => {
  const at = document.activeElement;
  if (at === document.body || at.id === "main") return [false, ""];
  const [style, box] = [getComputedStyle(at), at.getBoundingClientRect()];
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  return [at === element, ring && inside && box.width > 1 ? "" : at.outerHTML.slice(0, 200)];
}"""
"""Whether the element has the focus; and what has it without being seen, unless that is the page itself."""
_BETWEEN: Final = """element => {
  const stops = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
  const after = (one, other) => other.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING;
  return [...document.querySelectorAll(stops)].filter((one) => after(one, document.activeElement)
    && after(element, one) && one.tabIndex >= 0 && !one.disabled && one.checkVisibility()).length;
}"""
"""What Tab stops at before the element, at least."""


class Keyboard:
    """Presses keys, and counts how often that was to go or to do something.

    ``looks``: after every key, and not only where it wanted to go. That takes its time.
    """

    def __init__(self, page: Page, *, looks: bool = True) -> None:
        self.page = page
        self.looks = looks
        self.activations = 0
        self.unseen: set[str] = set()
        """What had the focus and did not show it."""

    async def press(self, *keys: str) -> None:
        """One after the other."""
        for key in keys:
            await self.page.keyboard.press(key)

    async def skip(self) -> None:
        """To the content, past what is on every page."""
        await self.press("Tab", "Enter")

    async def go_to(self, what: Locator, key: str = "Tab", most: int = _MOST_KEYS) -> None:
        """On by ``key`` until it has the focus; so often at most."""
        element = await what.element_handle()
        if most and not self.looks and key == "Tab":
            await self.press(*["Tab"] * await element.evaluate(_BETWEEN))
        for _ in range(most + 1):
            here, unseen = await element.evaluate(_WHERE)
            if here or self.looks:
                self.unseen |= {unseen} - {""}
            if here:
                return
            await self.press(key)
        raise AssertionError(f"{most} times {key} do not lead to {what}")

    async def fill(self, form: Locator, **fields: str) -> None:
        """Each field by its name, in the order of the form: typed, or chosen by its first letters."""
        for name, words in fields.items():
            await self.go_to(form.locator(f"[name='{name}']"))
            await self.page.keyboard.type(words)

    async def enter(self, what: Locator, key: str = "Tab") -> None:
        """Go to it and press it; the next page is there after this."""
        await self.go_to(what, key)
        async with self.page.expect_navigation():
            await self.press("Enter")
        self.activations += 1
