from ipaddress import ip_address

import pytest

from pointsman_contract.addresses import EVERYWHERE, allowed_networks, parse, refusal

REFUSED = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:db8::1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "198.17.255.255",
    "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "::ffff:1.1.1.1", "64:ff9b::101:101",
    "2002:101:101::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_allowed(address: str) -> None:
    assert refusal(ip_address(address)) is None


def test_zone_of_a_link_local_address_is_no_way_around() -> None:
    assert refusal(parse("fe80::1%eth0"))


NETWORKS = ("10.0.0.0/8", "100.64.0.0/10", "fc00::/7", "169.254.169.254/32")


@pytest.mark.parametrize(
    ("address", "allowed", "reached"),
    [
        ("10.1.2.3", NETWORKS, True),
        ("::ffff:10.1.2.3", NETWORKS, True),
        ("192.168.1.1", NETWORKS, False),
        ("127.0.0.1", EVERYWHERE, True),
        ("::1", EVERYWHERE, True),
        ("1.1.1.1", (), True),
        ("169.254.169.254", EVERYWHERE, False),
        ("::ffff:169.254.169.254", EVERYWHERE, False),
        ("fe80::1", EVERYWHERE, False),
        ("168.63.129.16", EVERYWHERE, False),
        ("100.100.100.200", NETWORKS, False),
        ("fd00:ec2::254", NETWORKS, False),
        ("fd00::1", NETWORKS, True),
        ("169.254.169.254", NETWORKS, True),
        ("169.254.7.7", NETWORKS, False),
        ("169.254.7.7", ("169.254.0.0/16",), True),
        ("169.254.7.7", ("168.0.0.0/7",), False),
    ],
)
def test_a_private_address_is_reached_if_its_network_is_named_and_metadata_only_by_its_own_name(
    address: str, allowed: tuple[str, ...], reached: bool
) -> None:
    assert (refusal(ip_address(address), allowed) is None) == reached


@pytest.mark.parametrize(
    ("value", "networks"),
    [
        (True, EVERYWHERE),
        (False, ()),
        ("true", EVERYWHERE),
        (" False ", ()),
        ("10.0.0.0/8, 192.168.7.5", ("10.0.0.0/8", "192.168.7.5/32")),
        ('["fc00::/7"]', ("fc00::/7",)),
        (["10.0.0.0/8"], ("10.0.0.0/8",)),
        ([], ()),
    ],
)
def test_networks_are_a_word_or_a_list(value: object, networks: tuple[str, ...]) -> None:
    assert allowed_networks(value) == networks
    assert allowed_networks(networks) == networks


@pytest.mark.parametrize("value", ["", "maybe", "10.0.0.1/8", "10.0.0.0/8,", "[10.0.0.0/8", '{"a": 1}', 7, [7], None])
def test_what_is_no_network_is_refused_with_what_to_give(value: object) -> None:
    with pytest.raises(ValueError, match=r"networks such as|is not JSON"):
        allowed_networks(value)
