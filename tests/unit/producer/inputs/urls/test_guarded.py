"""Which addresses pictures are fetched from."""

from ipaddress import ip_address

import pytest

from producer.inputs.urls.guarded import refusal


@pytest.mark.parametrize(
    ("address", "everywhere", "publicly"),
    [
        ("93.184.215.14", True, True),
        ("2606:4700::6810:84e5", True, True),
        ("64:ff9b::5db8:d70e", True, True),
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("10.1.2.3", True, False),
        ("192.168.0.1", True, False),
        ("100.64.0.1", True, False),
        ("fd00::1", True, False),
        ("::ffff:10.0.0.1", True, False),
        ("64:ff9b::a00:1", True, False),
        ("2002:a00:1::", True, False),
        ("169.254.169.254", False, False),
        ("169.254.170.2", False, False),
        ("fe80::1", False, False),
        ("fec0::1", False, False),
        ("fd00:ec2::254", False, False),
        ("100.100.100.200", False, False),
        ("192.0.0.192", False, False),
        ("168.63.129.16", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
    ],
)
def test_where_camq_reads_from(address: str, everywhere: bool, publicly: bool) -> None:
    """IPv4 inside IPv6 is looked at as itself."""
    assert (not refusal(ip_address(address), private=True)) == everywhere
    assert (not refusal(ip_address(address), private=False)) == publicly
