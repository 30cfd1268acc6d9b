"""Which addresses a call whose target somebody chose may not reach: all that are not on the public internet. Pure.

After the IANA special-purpose address registries
(https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry).
Python's own ``is_global`` is not used: its answers differ between versions.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

EVERYWHERE = ("0.0.0.0/0", "::/0")
"""The networks that ``true`` stands for."""
_WORDS = {"true": EVERYWHERE, "yes": EVERYWHERE, "on": EVERYWHERE, "1": EVERYWHERE} | dict.fromkeys(
    ("false", "no", "off", "0"), ()
)
_RULE = "give true, false, or networks such as 10.0.0.0/8, 192.168.7.5"

_METADATA = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("169.254.0.0/16", "a link-local address, where clouds keep their metadata"),
        ("168.63.129.16/32", "a cloud provider's host"),
        ("100.100.100.200/32", "an address where a cloud keeps its metadata"),
        ("192.0.0.192/32", "an address where a cloud keeps its metadata"),
        ("fe80::/10", "a link-local address"),
        ("fd00:ec2::254/128", "an address where a cloud keeps its metadata"),
        ("fd20:ce::254/128", "an address where a cloud keeps its metadata"),
    )
)
"""Allowed only by a network that lies within: who allows a larger one means its own machines."""

_V4 = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "an address behind a provider's NAT"),
        ("127.0.0.0/8", "this machine"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "an address for documentation"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "an address for benchmarks"),
        ("198.51.100.0/24", "an address for documentation"),
        ("203.0.113.0/24", "an address for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_V6 = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "an unspecified address"),
        ("::1/128", "this machine"),
        ("fc00::/7", "a private address"),
        ("ff00::/8", "a multicast address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "an address for documentation"),
        ("3fff::/20", "an address for documentation"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def parse(text: str) -> Address:
    """An address as the resolver gives it, without its zone. Raises ``ValueError``."""
    return ip_address(text.partition("%")[0])


def allowed_networks(value: object) -> tuple[str, ...]:
    """A setting that says which networks may be called though they are not public: ``true`` for all, ``false`` for
    none, or a list of networks and addresses, in text also comma-separated. Raises ``ValueError``.
    """
    if isinstance(value, bool):
        return EVERYWHERE if value else ()
    if isinstance(value, str):
        text = value.strip()
        known = _WORDS.get(text.lower())
        if known is not None:
            return known
        value = _json_list(text) if text.startswith("[") else text.split(",")
    if not isinstance(value, list | tuple):
        raise ValueError(_RULE)  # noqa: TRY004 - a setting of another type is a bad value
    return tuple(_network(one) for one in value)


def refusal(address: Address, allowed: Sequence[str] = ()) -> str | None:
    """What an address is, for a message, when it may not be called; None for a public one, and for one of the
    ``allowed`` networks. Link-local addresses and those where clouds keep their metadata must be named for themselves.

    An IPv6 address that leads to an IPv4 one (mapped, 6to4, NAT64) is judged by that one.
    """
    inner = None if isinstance(address, IPv4Address) else _embedded(address)
    if inner is not None:
        return refusal(inner, allowed)
    special, kind = next(((network, kind) for network, kind in _METADATA if address in network), (None, _kind(address)))
    if kind is None:
        return None
    for network in _networks(tuple(allowed)):
        if address in network and (special is None or _within(network, special)):
            return None
    return kind


def _kind(address: Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _V4 if address in network), None)
    found = next((kind for network, kind in _V6 if address in network), None)
    return found or (None if address in _GLOBAL_V6 else "a reserved address")


def _within(network: Network, special: Network) -> bool:
    return network.network_address in special and network.prefixlen >= special.prefixlen


def _json_list(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None


def _network(one: object) -> str:
    try:
        return str(ip_network(one.strip() if isinstance(one, str) else ""))
    except ValueError as error:
        raise ValueError(f"{one!r:.60} is no network ({error}): {_RULE}") from None


@lru_cache(maxsize=16)
def _networks(allowed: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(ip_network, allowed))


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
