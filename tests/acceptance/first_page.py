"""What the first screen says of a cause: the API, the dashboard and the terminal, all three the same."""

import asyncio
import html
import io
import re

from pointsman_client.place import Place
from pointsman_client.top.looking import look
from pointsman_client.top.once import write
from pointsman_client.top.pen import Pen, plain
from tests.stand.stack import Row, Stack
from tests.stand.waiting import until


async def told(stack: Stack, kind: str, subject: str | None, *words: str, seconds: float) -> Row:
    """The cause on the first page, once all of this is told of it, there and on both screens; within so many seconds.
    ``subject`` None: whatever it is about.
    """

    async def so() -> Row | None:
        answer = await stack.http.get("/v1/now")
        assert answer.status_code == 200, answer.text
        causes = answer.json()["causes"]
        found = [one for one in causes if one["kind"] == kind and subject in (None, one["subject"])]
        named = [one for one in found if all(piece in said_of(one) for piece in words)]
        assert named, causes
        for screen in (await dashboard(stack), await asyncio.to_thread(terminal, stack)):
            assert _without_figures(named[0]["sentence"]) in _without_figures(screen), screen
        return dict(named[0])

    return await until(so, f"{kind} of {subject} on the first page", seconds)


async def dashboard(stack: Stack) -> str:
    """What the causes on its first page say."""
    answer = await stack.http.get("/admin/tasks/dashboard/")
    assert answer.status_code == 200, answer.text
    causes = answer.text.partition('id="live-causes"')[2].partition("</section>")[0]
    return html.unescape(re.sub(r"<[^>]*>", "", causes))


def terminal(stack: Stack) -> str:
    """What it says at one look."""
    out = io.StringIO()
    write(look(Place(stack.url)), out, Pen(), 80, plain)
    return out.getvalue()


def said_of(cause: Row) -> str:
    """All that is told of a cause."""
    words = [cause["parts"], *cause["consequences"], cause["being_done"]]
    return "\n".join("".join(part["text"] for part in sentence) for sentence in words)


def _without_figures(text: str) -> str:
    """What does not change between two looks: what is long is broken into lines, and seconds go by."""
    return "".join(re.sub(r"\d+( s| min)?", "#", text).split())
