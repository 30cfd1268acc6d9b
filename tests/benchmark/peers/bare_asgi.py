"""What HTTP alone costs under uvicorn: read the body, answer as many bytes as ours. Nothing is looked at."""

from typing import Any

_BODY = b"x" * 760


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})
