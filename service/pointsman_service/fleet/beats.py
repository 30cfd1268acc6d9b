"""Beats as readers of them find them: whole, of the right types and within range, or not at all."""

from collections.abc import Mapping, Sequence

from pydantic_core import SchemaValidator, ValidationError, core_schema

from pointsman_contract import keys
from pointsman_contract.events import Beat
from pointsman_contract.signing import Forged, Purpose, Trust, check_sealed
from pointsman_contract.validation import first_fault
from pointsman_service.redis import RedisServer

_LARGEST = 2**31 - 1
_LARGEST_COUNTER = 2**53
_LATEST = 7_258_118_400.0
"""The year 2200, in Unix seconds."""
_LONGEST_NAME = 400
_LONGEST_LIST = 100_000

_NAME = core_schema.str_schema(min_length=1, max_length=_LONGEST_NAME)
_NUMBER = core_schema.int_schema(ge=0, le=_LARGEST)
_COUNTER = core_schema.int_schema(ge=0, le=_LARGEST_COUNTER)
_MOMENT = core_schema.float_schema(ge=0.0, le=_LATEST, allow_inf_nan=False)
_NAMES = core_schema.list_schema(core_schema.str_schema(max_length=_LONGEST_NAME), max_length=_LONGEST_LIST)
_RUNNING = core_schema.typed_dict_schema(
    {
        "task": core_schema.typed_dict_field(_NAME),
        "attempt": core_schema.typed_dict_field(_NUMBER),
        "token": core_schema.typed_dict_field(_NAME),
    }
)
_NEEDED: Mapping[str, core_schema.CoreSchema] = {
    "name": _NAME,
    "owner": _NAME,
    "pool": _NAME,
    "queues": _NAMES,
    "processes": _NUMBER,
    "pid": _NUMBER,
    "host": core_schema.str_schema(max_length=_LONGEST_NAME),
    "started_at": _MOMENT,
    "contract": _NUMBER,
    "counter": _COUNTER,
    "consuming": _COUNTER,
    "epoch": _NUMBER,
    "running": core_schema.list_schema(_RUNNING, max_length=_LONGEST_LIST),
}
_MORE: Mapping[str, core_schema.CoreSchema] = {
    "left": _NAMES,
    "reserved": _NAMES,
    "asking": _NAMES,
    "at": _MOMENT,
    "stopping": core_schema.bool_schema(),
    "ejected": core_schema.bool_schema(),
}
_BEAT = SchemaValidator(
    core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(schema) for name, schema in _NEEDED.items()}
        | {name: core_schema.typed_dict_field(schema, required=False) for name, schema in _MORE.items()},
        config=core_schema.CoreConfig(strict=True),
    )
)


def parse_beat(owner: bytes, text: bytes) -> Beat:
    """The last beat of a worker parent. Raises ``ValueError``, which names the field that is wrong and no value."""
    if b"\\u0000" in text:
        raise ValueError("a NUL character")
    try:
        beat: Beat = _BEAT.validate_json(text)
    except ValidationError as error:
        raise ValueError(first_fault(error, "the beat")) from None
    if beat["owner"].encode() != owner:
        raise ValueError("owner: it is another's")
    return beat


def sort_out(flat: Sequence[bytes], trust: Trust) -> tuple[dict[str, Beat], dict[bytes, str]]:
    """The beats of an answer of HGETALL by owner, and what is wrong with the others, by field."""
    beats: dict[str, Beat] = {}
    wrong: dict[bytes, str] = {}
    for owner, text in zip(flat[::2], flat[1::2], strict=True):
        try:
            if trust.requires and trust.signer is not None:
                check_sealed(trust.signer, Purpose.BEAT, text.decode())
            beats[owner.decode()] = parse_beat(owner, text)
        except (ValueError, Forged) as error:
            wrong[owner] = str(error)
    return beats, wrong


async def read_beats(server: RedisServer) -> dict[str, Beat]:
    """The last beat of every worker parent, by owner, without those that cannot be read. Raises ``BrokerAway``."""
    return parse_beats(await server.command("HGETALL", keys.BEATS), server.trust)


def parse_beats(flat: Sequence[bytes], trust: Trust) -> dict[str, Beat]:
    """Beats as HGETALL answers them; the sweep ``beats`` tells of those that are left out."""
    return sort_out(flat, trust)[0]
