"""The terminal with keys: textual's own driver presses them, and an API is served."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual import events
from textual.pilot import Pilot

from pointsman_client.top.app import Sheet, Top
from pointsman_client.top.board import Tab
from pointsman_client.top.page.now import target_of
from pointsman_client.top.pen import Pen, plain
from pointsman_client.top.seen import NOW
from pointsman_client.top.targets import WORKERS, Kind, Target
from tests.stand.waiting import until
from tests.unit.client import pages
from tests.unit.client.served import Served, served


class Person:
    """Somebody at the keys."""

    def __init__(self, app: Top, pilot: Pilot[None], api: Served) -> None:
        self.app, self.pilot, self.api = app, pilot, api

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(plain(line) for line, _ in self.app.screen_stack[0].query_one(Sheet)._strips)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def sees(self, seen: str | Callable[[str], bool]) -> str:
        """Wait for it."""
        look = (lambda text: seen in text) if isinstance(seen, str) else seen

        async def now() -> bool:
            await self.pilot.pause(0.01)
            assert look(self.text), self.text
            return True

        await until(now, str(seen), 20)
        return self.text

    async def asked(self) -> str:
        """What the question on top says."""

        async def now() -> bool:
            await self.pilot.pause(0.01)
            return len(self.app.screen_stack) > 1 and bool(self.app.screen.query("#concerns"))

        await until(now, "a question", 20)
        return " ".join(str(self.app.screen.query_one(part).render()) for part in ("#asks", "#concerns"))


@asynccontextmanager
async def person(width: int = 80, height: int = 24) -> AsyncIterator[Person]:
    with served() as api:
        api.answer(NOW, pages.incident())
        api.answer(WORKERS, pages.workers())
        for path in ("/v1/tasks", "/v1/breakers", "/v1/alerts", "/v1/errors"):
            api.answer(path, pages.example(path))
        app = Top(api.place, Pen())
        async with app.run_test(size=(width, height)) as pilot:
            someone = Person(app, pilot, api)
            await someone.sees("reports has no live worker")
            yield someone


async def test_digits_and_tab_show_the_pages() -> None:
    async with person() as someone:
        for digit, tab in enumerate(Tab, 1):
            await someone.press(str(digit))
            await someone.sees(f"[{digit} {tab}]")
        await someone.press("tab")
        await someone.sees("[1 Now]")
        await someone.press("shift+tab")
        await someone.sees("[7 Errors]")


async def test_j_and_k_move_and_enter_opens_what_is_chosen_and_escape_comes_back() -> None:
    async with person() as someone:
        await someone.press("j", "enter")
        await someone.sees("being done    It is tried again in 41 s")
        await someone.press("escape")
        await someone.sees("[1 Now]")
        await someone.press("k", "enter")
        assert "Start its pool:" in await someone.sees("what to do")


async def test_a_line_of_what_was_opened_leads_on() -> None:
    task = pages.example("/v1/tasks/{task_id}")
    async with person(100, 40) as someone:
        cause = target_of(pages.incident()["causes"][1])
        example = Target(Kind.TASK, "01a20271-c811-71a5-99c0-510fde22a57d")
        explained = pages.example("/v1/tasks/{task_id}/explain")
        for path, document in zip(
            example.paths, (task, explained, pages.example("/v1/tasks/{task_id}/attempts")), strict=True
        ):
            someone.api.answer(path.partition("?")[0], document)
        someone.app.board.open(cause)
        someone.app.draw()
        lines = (await someone.sees("example       task")).splitlines()
        down = next(index for index, line in enumerate(lines) if line.startswith("example")) - 2
        await someone.press(*["j"] * down, "enter")
        await someone.sees(explained["sentence"].split(".")[0])
        await someone.press("escape", "escape")
        await someone.sees("queue          ")


async def test_a_slash_narrows_the_list_and_escape_widens_it() -> None:
    async with person() as someone:
        await someone.press("4", "slash", *"silent", "enter")
        assert "email@host-1" not in await someone.sees("only: silent")
        assert "reports@host-1" in someone.text
        await someone.press("escape")
        await someone.sees("email@host-1")


async def test_what_is_typed_at_once_after_a_slash_is_no_command() -> None:
    async with person() as someone:
        for character in "4/quiPCq reports":
            key = {"/": "slash", " ": "space"}.get(character, character)
            someone.app.post_message(events.Key(key, character))
        await someone.pilot.pause()
        await someone.press("enter")
        await someone.sees("only: quiPCq reports")
        assert someone.app.is_running


async def test_a_filter_of_tasks_asks_the_api() -> None:
    async with person() as someone:
        await someone.press("2", "slash", *"failed queue:email", "enter")

        async def asked() -> bool:
            return any("state=failed&queue=email" in path for _, path, _, _ in someone.api.asked)

        await until(asked, "the API to be asked", 20)


async def test_a_capital_asks_for_a_reason_and_only_then_does_it() -> None:
    queue: dict[str, Any] = pages.example("/v1/queues/{name}") | {"depth": 212, "running": 2, "paused": False}
    async with person() as someone:
        someone.api.answer("/v1/queues/critical", queue)
        someone.api.answer("/v1/queues/critical/pause", {}, method="POST")
        await someone.press("3", "P")
        assert "Pause critical? 212 tasks wait and stay" in await someone.asked()
        await someone.press("enter")
        assert someone.api.posted() == [], "not without a reason"
        await someone.press(*"moves", "enter")
        await someone.sees("critical is paused.")
        assert someone.api.posted() == [("/v1/queues/critical/pause", {"reason": "moves"})]


async def test_escape_leaves_everything_as_it_is() -> None:
    queue = pages.example("/v1/queues/{name}") | {"depth": 0, "running": 0, "paused": False}
    async with person() as someone:
        someone.api.answer("/v1/queues/critical", queue)
        await someone.press("3", "P")
        await someone.asked()
        await someone.press(*"no", "escape")
        await someone.sees("Nothing was changed.")
        assert someone.api.posted() == []


async def test_no_small_letter_changes_anything() -> None:
    async with person() as someone:
        for key in "abcdefgimnopstuvwxyz0":
            await someone.press("3", key)
            assert (key, len(someone.app.screen_stack), someone.api.posted()) == (key, 1, [])


async def test_a_capital_without_a_meaning_says_which_have_one() -> None:
    async with person() as someone:
        await someone.press("X")
        await someone.sees("No act has the letter X: they are P, C, R, A, E, F.")
        await someone.press("3", "C")
        await someone.sees("C cancels a task: choose one.")


async def test_an_api_that_goes_away_is_said_and_what_it_said_grows_old() -> None:
    async with person() as someone:
        someone.api.answer(NOW, {"detail": "PostgreSQL and Redis are away."}, status=503)
        await someone.press("r")
        await someone.sees(lambda text: "UNREACHABLE" in text and "PostgreSQL and Redis are away." in text)
        someone.api.answer(NOW, pages.healthy())
        await someone.press("r")
        await someone.sees("HEALTHY")


async def test_another_size_is_drawn_at_once() -> None:
    async with person() as someone:
        await someone.pilot.resize_terminal(120, 40)
        await someone.sees(lambda text: len(text.splitlines()) == 40 and len(text.splitlines()[0]) == 120)


async def test_q_leaves() -> None:
    async with person() as someone:
        await someone.press("q")
        assert someone.app.return_code == 0
