"""What any path answers: ``HEAD`` wherever ``GET`` is, ``OPTIONS``, and a complete ``Allow``."""

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, Match, Mount


def allowed_methods(routes: Sequence[BaseRoute], scope: Any) -> str:
    """The value of ``Allow`` for the path of a request. A route that names the path goes before one with parameters."""
    # A mount has moved the root while it looked.
    asked = {**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}
    matching = [route for route in routes if route.matches(asked.copy())[0] is not Match.NONE]
    named = [route for route in matching if getattr(route, "path", None) == scope["path"]]
    found = {"OPTIONS"}
    for route in named or matching:
        found |= {"GET"} if isinstance(route, Mount) else set(getattr(route, "methods", None) or ())
    return ", ".join(sorted(found | {"HEAD"} if "GET" in found else found))


class HeadAsGet:
    """ASGI: a ``HEAD`` is answered as its ``GET``, without the body."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = False

        async def head_only(message: Any) -> None:
            nonlocal answered
            if not answered:
                answered = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        async def receive_until_answered() -> Any:
            # A stream ends with its listener: that is now.
            return {"type": "http.disconnect"} if answered else await receive()

        await self._app({**scope, "method": "GET"}, receive_until_answered, head_only)
