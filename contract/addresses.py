"""Which addresses a call whose target somebody chose may not reach: all that are not on the public internet. Pure.

After the IANA special-purpose address registries
(https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry).
Python's own ``is_global`` is not used: its answers differ between versions.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_V4 = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "an address behind a provider's NAT"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a cloud provider's host"),
        ("169.254.0.0/16", "a link-local address, where clouds keep their metadata"),
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
        ("fe80::/10", "a link-local address"),
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


def refusal(address: Address) -> str | None:
    """What an address is, for a message, when it may not be called; None for a public one.

    An IPv6 address that leads to an IPv4 one (mapped, 6to4, NAT64) is judged by that one.
    """
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _V4 if address in network), None)
    inner = _embedded(address)
    if inner is not None:
        return refusal(inner)
    found = next((kind for network, kind in _V6 if address in network), None)
    return found or (None if address in _GLOBAL_V6 else "a reserved address")


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
