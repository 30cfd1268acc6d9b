"""What is wrong with Redis, by its own report. Pure."""

import re
from collections.abc import Iterator

from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.console.doctor.clock_checks import clock
from pointsman_service.console.doctor.finding import Finding, Unknown, fault, ok, unknown, warning
from pointsman_service.console.doctor.redis_facts import RedisFacts
from pointsman_service.observe.explain import sentences
from pointsman_service.settings import Settings

_OLDEST = {"Redis": (7, 0), "Valkey": (8, 0)}
_CLIENTS_PERCENT = 80
_SAFE_POLICY = "noeviction"
_REST = ("redis.version", "redis.role", "redis.aof", "redis.eviction", "redis.memory", "redis.clients", "redis.clock")


def redis(facts: RedisFacts | Unknown, settings: Settings) -> list[Finding]:
    """The server: which, whether it keeps what it takes, and how full it is."""
    if isinstance(facts, Unknown):
        away = fault(
            "redis",
            sentences.broker_away(facts.why).removesuffix("."),
            KINDS[Rule.BROKER_AWAY].next_step,
        )
        return [away, *(unknown(check, Unknown("Redis does not answer")) for check in _REST)]
    return [
        ok("redis", f"Redis answers within {2000 * facts.unsure_seconds:.0f} ms"),
        version(facts),
        role(facts),
        *aof(facts),
        eviction(facts),
        memory(facts, settings),
        clients(facts),
        clock("redis.clock", "Redis", facts.ahead_seconds, facts.unsure_seconds),
    ]


def version(facts: RedisFacts) -> Finding:
    """Old servers lack commands that the scripts need."""
    name = "Valkey" if "valkey_version" in facts.info else "Redis"
    text = facts.info.get(f"{name.lower()}_version", "")
    numbers = re.match(r"(\d+)\.(\d+)", text)
    if numbers is None:
        return warning("redis.version", "it does not say which version it is", "Use Redis 7 or Valkey 8 or newer.")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST[name]:
        return fault("redis.version", f"{name} {text} is too old", "Use Redis 7 or Valkey 8 or newer.")
    return ok("redis.version", f"{name} {text}")


def role(facts: RedisFacts) -> Finding:
    """Only the primary of one server that has all keys will do."""
    if facts.info.get("redis_mode") == "cluster":
        return fault("redis.role", "it is a cluster: scripts cannot use several of its keys at once", "Use one server.")
    if facts.info.get("role") == "slave":
        return fault("redis.role", "it is a replica, which takes nothing", "Let POINTSMAN_REDIS_URL name the primary.")
    return ok("redis.role", "a primary, no cluster")


def aof(facts: RedisFacts) -> Iterator[Finding]:
    """What is lost with a restart."""
    check = "redis.aof"
    if facts.info.get("aof_enabled") != "1":
        yield warning(
            check,
            "no append-only file: with a restart every message and claim is lost, PostgreSQL sends all of it again, and"
            " what had run unrecorded runs again",
            "Set appendonly yes.",
        )
        return
    failed = [
        name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if facts.info.get(name, "ok") != "ok"
    ]
    if failed:
        yield fault(
            check,
            f"the append-only file cannot be written ({', '.join(failed)} is err)",
            "See Redis's log: its disk is full, or not its own.",
        )
    elif facts.number("loading"):
        yield warning(check, "it still loads its data", "Wait until it has.")
    else:
        yield ok(check, "every write goes to the append-only file")


def eviction(facts: RedisFacts) -> Finding:
    """A server that throws keys away throws tasks away."""
    policy = facts.info.get("maxmemory_policy", "")
    if policy != _SAFE_POLICY:
        return fault(
            "redis.eviction",
            f"maxmemory-policy is {policy or 'not known'}: when memory is short Redis throws away messages, claims and"
            " reports",
            f"Set maxmemory-policy {_SAFE_POLICY}.",
        )
    return ok("redis.eviction", f"nothing is evicted ({policy})")


def memory(facts: RedisFacts, settings: Settings) -> Finding:
    """How full it is beside the limits from which we act."""
    check = "redis.memory"
    used, limit = facts.number("used_memory"), facts.number("maxmemory")
    if not limit:
        return warning(
            check,
            f"{size(used)} used and no maxmemory: nothing stops before the machine has no memory left",
            "Set maxmemory to what the machine can spare.",
        )
    percent = 100 * used // limit
    says = f"{size(used)} of {size(limit)} used ({percent} %)"
    if percent >= settings.dispatch_memory_percent:
        return fault(
            check,
            f"{says}. {sentences.broker_full(percent)}".removesuffix("."),
            KINDS[Rule.BROKER_FULL].next_step,
        )
    if percent >= settings.alert_memory_percent:
        return warning(
            check,
            f"{says}; from {settings.dispatch_memory_percent} % on nothing is sent",
            KINDS[Rule.BROKER_MEMORY].next_step,
        )
    return ok(check, says)


def clients(facts: RedisFacts) -> Finding:
    """Connections beside how many it takes."""
    used, most = facts.number("connected_clients"), facts.number("maxclients")
    says = f"{used} of {most} connections used" if most else f"{used} connections"
    if most and 100 * used >= _CLIENTS_PERCENT * most:
        return warning("redis.clients", says, "Raise maxclients, or find who opens so many.")
    return ok("redis.clients", says)


def size(number: int) -> str:
    """Bytes for people."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit in ("B", "KiB") else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
