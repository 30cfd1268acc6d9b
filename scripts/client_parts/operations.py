"""The module of operations: for each resource of the API a class, with a method for each operation."""

import re
from collections import defaultdict
from typing import Any

from client_parts.schemas import Document, Operation, Schema, python_name, sentence

METHODS = {
    # where the rule of _method_of would make a poor name, or one that is made by hand for something better
    "submit_task": ("tasks", "submit_task"),
    "submit_batch": ("tasks", "submit_batch"),
    "stream_task": ("tasks", "stream"),
    "stream_tasks": ("tasks", "stream_many"),
    "stream_log_lines": ("tasks", "stream_log_lines"),
    "cancel_tasks": ("tasks", "cancel_many"),
    "retry_tasks": ("tasks", "retry_many"),
    "list_deliveries_of_alert": ("alerts", "list_deliveries"),
    "discard_set_aside_messages": ("set_aside_messages", "discard"),
    "get_task_metrics": ("metrics", "tasks"),
    "get_queue_metrics": ("metrics", "queues"),
    "get_worker_metrics": ("metrics", "workers"),
    "get_sla_metrics": ("metrics", "sla"),
    "get_prediction_metrics": ("metrics", "predictions"),
    "get_metrics_timeseries": ("metrics", "timeseries"),
    "get_prometheus_metrics": ("metrics", "prometheus"),
    "get_liveness": ("health", "liveness"),
    "get_health": ("health", "health"),
    "get_readiness": ("health", "readiness"),
}
_REPEATABLE = {
    "submit_batch": "all(task.get('idempotency_key') for task in tasks)",
    "validate_task": "True",
}
"""Of a POST without an ``Idempotency-Key``: when asking twice does what asking once does."""
_BY_HAND = frozenset({"Prefer", "If-None-Match"})
_STREAM, _TEXT = "text/event-stream", "text/plain"


def operations_module(document: Document) -> str:
    """The whole of it, for the asynchronous half."""
    resources: defaultdict[str, dict[str, Operation]] = defaultdict(dict)
    for operation in document.operations:
        resource, method = METHODS.get(operation.id) or _method_of(operation)
        if method in resources[resource]:
            raise SystemExit(f"{operation.id} and {resources[resource][method].id} would both be {resource}.{method}")
        resources[resource][method] = operation
    parts = []
    parts.append(
        '"""A method for each operation of the API, by resource."""\n\n'
        "from collections.abc import AsyncIterator, Mapping, Sequence\n"
        "from datetime import datetime\nfrom typing import Any, Literal\n\n"
        "from pointsman_client.aio.asking import Asked, Operations\n"
        "from pointsman_client.calling.call import (Call, EVENT_STREAM, body, body_with_nulls, headers, new_key,\n"
        "    query, segment, wait_header)\n"
        "from pointsman_client.calling.events import Event\n"
        "from pointsman_client.calling.unset import UNSET, Unset\n"
        f"from pointsman_client.models import {', '.join(_names(document))}\n"
    )
    for resource, methods in resources.items():
        blocks = [_method(document, name, operation) for name, operation in methods.items()]
        parts.append(
            f"class {_class_of(resource)}(Operations):\n"
            f'    """The operations of ``client.{resource}``."""\n\n' + "\n\n".join(blocks)
        )
    made = "".join(f"        self.{resource} = {_class_of(resource)}(client)\n" for resource in resources)
    parts.append(
        'class Resources:\n    """Every resource of the API."""\n\n'
        f"    def __init__(self, client: Asked) -> None:\n{made}"
    )
    listed = "".join(
        f"    {operation.id!r}: ({resource!r}, {method!r}),\n"
        for resource, methods in resources.items()
        for method, operation in methods.items()
    )
    parts.append(
        f"BY_OPERATION: dict[str, tuple[str, str]] = {{\n{listed}}}\n"
        '"""The resource and the method of each ``operationId``."""'
    )
    return "\n\n\n".join(parts) + "\n"


def _method_of(operation: Operation) -> tuple[str, str]:
    """``pause_queue`` of ``/v1/queues/…`` is ``queues.pause``."""
    resource = operation.path.removeprefix("/v1/").partition("/")[0].replace("-", "_")
    verb, _, rest = operation.id.partition("_")
    singular = re.sub(r"s$", "", resource)
    rest = re.sub(rf"^({resource}|{singular})(_|$)|_({resource}|{singular})$", "", rest)
    return resource, f"{verb}_{rest}" if rest else verb


def _ended(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _class_of(resource: str) -> str:
    return "".join(word.capitalize() for word in resource.split("_")) + "Operations"


def _names(document: Document) -> list[str]:
    return sorted({document.name_of(name) for name in {*document.told, *document.chosen, *document.taken}})


def _method(document: Document, name: str, operation: Operation) -> str:
    given = _Given(document, operation)
    kind, shape = _answered(document, operation)
    text = sentence(f"{_ended(operation.said['summary'])} {operation.said.get('description', '')}", "        ")
    call = f"Call({', '.join(given.call)})"
    if kind == _STREAM:
        return (
            f"    def {name}({given.signature}) -> AsyncIterator[Event]:\n{text}\n        return self._listen({call})"
        )
    if kind == "str":
        return f"    async def {name}({given.signature}) -> str:\n{text}\n        return await self._ask_text({call})"
    answer = f"return await self._ask({call}, {shape})"
    if "|" in kind:
        answer = f"found: {kind} = await self._ask_one_of({call}, {shape})\n        return found"
    method = f"    async def {name}({given.signature}) -> {kind}:\n{text}\n        {answer}"
    if "cursor" not in given.queried:
        return method
    return method + "\n\n" + _each(document, name, operation, given)


def _each(document: Document, name: str, operation: Operation, given: "_Given") -> str:
    """A method that goes through all pages."""
    (schema,) = _schemas(operation)
    items = document.resolve(schema)["properties"]["items"]
    kind = document.type_of(items["items"], sent=False)
    noun = name.removeprefix("list").lstrip("_")
    noun = re.sub(r"ies$", "y", noun) if noun.endswith("ies") else re.sub(r"s$", "", noun)
    signature = re.sub(r", cursor: [^,]*", "", given.signature)
    passed = ", ".join([*given.path_names, *(f"{each}={each}" for each in given.keywords if each != "cursor")])
    passed += ", cursor=cursor"
    text = sentence(
        f"{operation.said['summary']}, one after the other, through all pages of ``limit`` each.", "        "
    )
    return (
        f"    async def each{f'_{noun}' if noun else ''}({signature}) -> AsyncIterator[{kind}]:\n{text}\n"
        f"        cursor: str | None = None\n"
        f"        while True:\n"
        f"            page = await self.{name}({passed.lstrip(', ')})\n"
        f"            for item in page.items or ():\n"
        f"                yield item\n"
        f"            cursor = page.next_cursor\n"
        f"            if cursor is None:\n"
        f"                return"
    )


class _Given:
    """The parameters of a method, and what they become."""

    def __init__(self, document: Document, operation: Operation) -> None:
        self.path_names: list[str] = []
        self.keywords: list[str] = []
        self.queried: list[str] = []
        self._words: list[str] = []
        """Of the signature, after the star."""
        fields: list[str] = []
        conditional: list[str] = []
        self._repeatable = str(operation.method in ("GET", "PUT", "DELETE"))
        for said in operation.parameters:
            name, kind = python_name(said["name"]), document.type_of(said["schema"], sent=True)
            if said["in"] == "path":
                self.path_names.append(name)
            elif said["in"] == "query":
                self.queried.append(name)
                self._add(name, kind, required=said.get("required", False))
            elif said["name"] == "Prefer":
                self._add("wait_seconds", "float", required=False)
                fields.append("Prefer=wait_header(wait_seconds)")
            elif said["name"] == "Idempotency-Key":
                self._add(name, kind, required=False)
                fields.append("Idempotency_Key=idempotency_key or new_key()")
                self._repeatable = "True"
            elif said["name"] in ("If-Match", "If-None-Match") and operation.method == "GET":
                continue
            else:
                self._add(name, kind, required=False)
                fields.append(f"{said['name'].replace('-', '_')}={name}")
                if said["name"].startswith("If-"):
                    conditional.append(f"{name} is None")
        if conditional:
            self._repeatable = " and ".join(conditional)
        self._repeatable = _REPEATABLE.get(operation.id, self._repeatable)
        path = re.sub(r"\{(\w+)\}", lambda found: f"{{segment({python_name(found[1])})}}", operation.path)
        path = f"f{path!r}" if "{" in path else repr(path)
        if self.queried:
            path += f" + query({', '.join(f'{name}={name}' for name in self.queried)})"
        self.call = [repr(operation.id), repr(operation.method), path]
        if fields:
            self.call.append(f"headers=headers({', '.join(fields)})")
        body = operation.schema_of_body(document)
        if body is not None:
            self.call.append(f"body={self._body(document, operation, body)}")
        if self._repeatable != "False":
            self.call.append(f"repeatable={self._repeatable}")
        if _answered(document, operation)[0] == _STREAM:
            self.call.append("accept=EVENT_STREAM")
        elif _answered(document, operation)[0] == "str":
            self.call.append(f"accept={_TEXT!r}")

    @property
    def signature(self) -> str:
        """Without its parentheses."""
        words = sorted(self._words, key=lambda word: "=" in word)
        star = ["*", *words] if words else []
        return ", ".join(["self", *(f"{name}: str" for name in self.path_names), *star])

    def _add(self, name: str, kind: str, *, required: bool, nulls: bool = False) -> None:
        if name in self.keywords or name in self.path_names:
            raise SystemExit(f"two parameters are called {name}")
        self.keywords.append(name)
        if required:
            self._words.append(f"{name}: {kind}")
        else:
            plain = kind.replace(" | None", "")
            self._words.append(f"{name}: {plain} | Unset | None = UNSET" if nulls else f"{name}: {plain} | None = None")

    def _body(self, document: Document, operation: Operation, schema: Schema) -> str:
        required, names = schema.get("required", []), []
        nulls = operation.method == "PATCH"
        for called, said in schema["properties"].items():
            if python_name(called) != called:
                raise SystemExit(f"{operation.id} takes {called!r}, which is no name of Python")
            self._add(called, document.type_of(said, sent=True), required=called in required, nulls=nulls)
            names.append(f"{called}={called}")
        return f"{'body_with_nulls(UNSET, ' if nulls else 'body('}{', '.join(names)})"


def _schemas(operation: Operation) -> list[Schema]:
    """Of the documents that it answers with."""
    found: list[Schema] = []
    for status, answer in operation.said["responses"].items():
        if status[0] == "2":
            for media, content in answer.get("content", {}).items():
                if media == "application/json" and content["schema"] not in found:
                    found.append(content["schema"])
    return found


def _answered(document: Document, operation: Operation) -> tuple[str, str]:
    """The annotation of what a method returns, and the expression that makes it."""
    content: dict[str, Any] = operation.said["responses"].get("200", {}).get("content", {})
    if _STREAM in content:
        return _STREAM, ""
    if _TEXT in content:
        return "str", ""
    kinds = [kind for schema in _schemas(operation) for kind in schema.get("anyOf", [schema])]
    names = list(dict.fromkeys(document.type_of({"$ref": kind["$ref"]}, sent=False) for kind in kinds))
    if not names:
        raise SystemExit(f"{operation.id} answers with nothing that is known here")
    return " | ".join(names), ", ".join(names)
