"""Templates: autoescaped, strict, and beside the page they belong to. A block is a fragment."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from pointsman_contract.sealing import Sealer, Whose
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.assets import assets
from pointsman_service.dashboard.components import (
    durations,
    figures,
    json_text,
    moments,
    payloads,
    prose,
    sparklines,
    states,
)
from pointsman_service.dashboard.components.moments import relative

FOLDER: Final = Path(__file__).parent
LIVE: Final = "live_"
_SEAL: Final = '<input type="hidden" name="token" value="">'
_AGO: Final = re.compile(
    r'(<time class="ago" datetime="([^"]+)" title="[^"]*" data-ago(?: data-past="([^"]*)")?>)(?=</time>)'
)
OPENS: Final = "opens"
"""Among the values of a page: the tasks of whose payloads a signed link shows."""
_whose: ContextVar[Whose | None] = ContextVar("whose", default=None)
"""Of which tasks the page that is rendered shows what is sealed; None: of all."""
_COMPONENTS: Final = ("state", "time", "link", "figure", "chart", "list", "act")
_FUNCTIONS: Final[Mapping[str, object]] = {
    "SHAPES": states.SHAPES,
    "MASKED": payloads.MASKED,
    "about": durations.about,
    "bytes_of": figures.bytes_of,
    "clock": moments.clock,
    "counted_rows": figures.counted_rows,
    "duration": durations.duration,
    "exact": moments.exact,
    "json_text": json_text.json_text,
    "label": figures.label,
    "linked": prose.linked,
    "machine": moments.machine,
    "number": figures.number,
    "prose": prose.prose,
    "payload": payloads.payload,
    "percent": figures.percent,
    "rate": figures.rate,
    "relative": moments.relative,
    "some": figures.some,
    "sparkline": sparklines.sparkline,
    "times": figures.times,
    "tone_of": states.tone_of,
    "without_call": prose.without_call,
}


@cache
def environment() -> Environment:
    """All templates of the dashboard, and what is theirs to call."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    made.globals.update(_FUNCTIONS)
    return made


def open_with(sealer: Sealer) -> None:
    """Open what is sealed wherever a page of this process shows it to whom may see it. What a viewer may not see is
    masked before; but a page also repeats what it was asked, and that may be a word from elsewhere.
    """
    made = environment()
    made.finalize = partial(_opened, sealer)
    made.globals["json_text"] = lambda text: json_text.json_text(
        sealer.opened_json(text.encode(), _whose.get()).decode()
    )
    if made.cache is not None:
        made.cache.clear()


def _opened(sealer: Sealer, value: object) -> object:
    if isinstance(value, Markup):
        # What is opened is escaped; the rest was before.
        return Markup(sealer.opened(value, lambda text: str(escape(text)), _whose.get()))  # noqa: S704
    return sealer.opened(value, whose=_whose.get()) if isinstance(value, str) else value


@contextmanager
def _opening(values: Mapping[str, Any]) -> Iterator[None]:
    ask: Ask = values["ask"]
    whose: Whose | None = None
    if not ask.caller.reads_payloads:
        whose = frozenset[str]().__contains__
    elif ask.caller.is_narrowed or ask.caller.task_id is not None:
        whose = values.get(OPENS, frozenset()).__contains__
    before = _whose.set(whose)
    try:
        yield
    finally:
        _whose.reset(before)


def render(template: str, values: Mapping[str, Any], inside: Mapping[str, str] | None = None) -> str:
    """The whole page. ``inside``: its live elements by their ids, where they are rendered already."""
    found = environment().get_template(template)
    context = found.new_context(_with_components(values))
    for name in live_blocks(template):
        if inside and (element := inside.get(_id(name))) is not None:
            context.blocks[name] = [partial(_ready, element)]
    with _opening(values):
        return "".join(found.root_render_func(context))


def fragments(template: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The live blocks of a page: the id of each element, and what it is now."""
    found = environment().get_template(template)
    names = live_blocks(template)
    if names:
        context = found.new_context(_with_components(values))
        for name in names:
            with _opening(values):
                element = "".join(_block(found, name)(context)).strip()
            yield _id(name), element


def as_loaded(element: str, token: str, now: datetime) -> str:
    """A live element, as a stream tells it, as it is in a page that is loaded: its forms have the token of the browser,
    and times say how long ago they were, both of which scripts write into what is streamed.
    """
    sealed = element.replace(_SEAL, _SEAL.replace('value=""', f'value="{escape(token)}"'))
    return _AGO.sub(partial(_with_time, now), sealed)


def _with_time(now: datetime, found: re.Match[str]) -> str:
    at = datetime.fromisoformat(found[2])
    if found[3] is not None and at <= now:
        return f"{found[1]}{found[3]}"
    return f"{found[1]}{escape(relative(at, now))}"


@cache
def live_blocks(template: str) -> tuple[str, ...]:
    """The names of the live blocks of a template."""
    return tuple(name for name in environment().get_template(template).blocks if name.startswith(LIVE))


def _id(block: str) -> str:
    return block.replace("_", "-")


def _ready(element: str, _: Any) -> Iterator[str]:
    yield element


def _block(template: Template, name: str) -> Callable[[Any], Iterator[str]]:
    found: Callable[[Any], Iterator[str]] = template.blocks[name]
    return found


def _with_components(values: Mapping[str, Any]) -> dict[str, Any]:
    """With ``ui``: the macros of every component, bound to these values."""
    shared = {name: values[name] for name in ("links", "live", "may", "now", "target", "token", "where")}
    given = shared["given"] = Given(values["ask"])
    links, where = values["links"], values["where"]
    shared["href_of_task"] = lambda name: None if (path := where("task", name)) is None else links.to(path)
    macros: dict[str, Any] = {"given": given}
    for name in _COMPONENTS:
        module = environment().get_template(f"components/{name}.html").make_module(shared)
        macros |= {key: value for key, value in vars(module).items() if not key.startswith("_")}
    return {"ui": SimpleNamespace(**macros), **values}


class Given:
    """What was typed into the form that is being drawn, where it was sent and came to nothing. The macros of forms say
    which form that is.
    """

    def __init__(self, ask: Ask) -> None:
        refused = ask.refused
        self._href = None if refused is None else ask.links.to(refused.path)
        self._form = ask.form
        self._wrong = frozenset(() if refused is None else (name for name, _ in refused.faults))
        self._here = False

    def begin(self, href: str, fields: Mapping[str, object]) -> str:
        """A form begins, with its hidden fields: the same act may have two, told apart by these. Nothing to write."""
        known = all(self._form.get(name, "") == str(fields.get(name, "")) for name in _TELL_APART)
        self._here = self._href is not None and href.partition("?")[0] == self._href and known
        return ""

    def end(self) -> str:
        """It ends. Nothing to write."""
        self._here = False
        return ""

    def __call__(self, name: str, otherwise: object = "") -> str:
        """What a field held, or ``otherwise``."""
        return self._form.get(name, str(otherwise)) if self._here else str(otherwise)

    def is_wrong(self, name: str) -> bool:
        """Whether the form was refused for this field."""
        return self._here and name in self._wrong


_TELL_APART: Final = frozenset({"running"})


def asset_path(name: str) -> str:
    """Where an asset lies, below the dashboard."""
    return assets()[name].path
