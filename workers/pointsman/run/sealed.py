"""What a run is given and what it says, sealed on its way (``pointsman_contract.sealing``)."""

import json
from typing import Any

from kombu.utils.json import loads

from pointsman.errors import WorkerError
from pointsman_contract.events import Ending, ErrorBody
from pointsman_contract.sealing import CannotOpen, Field, Sealer, is_sealed


class ArgumentsSealed(WorkerError):
    """The arguments of a task are encrypted, and this worker cannot open them."""


def opened_arguments(args: Any, kwargs: Any, sealer: Sealer | None) -> tuple[Any, Any]:
    """The arguments as the caller gave them. Raises ``ArgumentsSealed``."""
    if sealer is None:
        if type(args) in (list, tuple) and len(args) == 1 and is_sealed(args[0], Field.ARGS):
            raise ArgumentsSealed("the arguments are encrypted, and this worker has no encryption_keys")
        return args, kwargs
    try:
        given, named = sealer.arguments(args, kwargs)
    except CannotOpen as why:
        raise ArgumentsSealed(f"the arguments cannot be opened: {why}") from None
    return (args if given is None else loads(given)), (kwargs if named is None else loads(named))


def seal_ending(ending: Ending, task: str, sealer: Sealer) -> None:
    """Seal what an outcome says of payloads, in place."""
    if "result" in ending:
        ending["result"] = sealer.seal_json(ending["result"], task, Field.RESULT)
    if "error" in ending:
        ending["error"] = sealed_error(ending["error"], task, sealer)


def sealed_progress(text: str, task: str, sealer: Sealer) -> str:
    """A ``Progress`` as JSON text with its words sealed; its numbers and its state are not."""
    told = json.loads(text)
    if told["note"]:
        told["note"] = sealer.seal(told["note"], task, Field.NOTE)
    if told["meta"] is not None:
        told["meta"] = sealer.seal(json.dumps(told["meta"], ensure_ascii=False), task, Field.META)
    return json.dumps(told, ensure_ascii=False)


def sealed_error(error: ErrorBody, task: str, sealer: Sealer) -> ErrorBody:
    """The same, sealed but for its type."""
    return {
        "type": error["type"],
        "message": sealer.seal(error["message"], task, Field.MESSAGE),
        "traceback": sealer.seal(error["traceback"], task, Field.TRACEBACK),
    }
