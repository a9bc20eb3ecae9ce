"""Connections that look at the address before they are made: a name may lead anywhere, and elsewhere the next time."""

import socket
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from shared.storage.http import pools, trusted_roots
from shared.storage.timed import Attempt, Timed

Address = IPv4Address | IPv6Address

CONNECT_S, READ_S = 10.0, 30.0
#: Where clouds tell a machine its secrets, beside the link-local 169.254.169.254: AWS, Alibaba, Oracle, Azure.
METADATA = frozenset(map(ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")))
#: Addresses of IPv4 written as IPv6: NAT64 (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")


class RefusedAddressError(Exception):
    """A host leads to an address that camq must not read from."""


def refusal(address: Address, *, private: bool) -> str:
    """Why camq must not read from an address, or nothing. `private` allows the networks that are nobody else's."""
    for one in _inside(address) or [address]:
        if one.is_link_local or one in METADATA or (isinstance(one, IPv6Address) and one.is_site_local):
            return "a link-local or metadata address, which camq never reads from"
        if one.is_multicast or one.is_unspecified or (one.is_reserved and not one.is_loopback):
            return "not the address of a server"
        if not private and not one.is_global:
            return "an address of a private network, which a request over HTTP must not read from"
    return ""


def _inside(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address carries."""
    if isinstance(address, IPv4Address):
        return []
    teredo = address.teredo or ()
    nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return [one for one in (address.ipv4_mapped, address.sixtofour, nat64, *teredo) if one is not None]


def connect(connection: HTTPConnection, *, private: bool) -> socket.socket:
    """A connection to the first address of the host that may be read from. RefusedAddressError when none may."""
    try:
        found = socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameResolutionError(connection.host, connection, error) from error  # type: ignore[arg-type]
    refused, last = "", None
    for name in dict.fromkeys(str(place[0]) for *_, place in found):
        if why := refusal(ip_address(name.partition("%")[0]), private=private):
            leads = f"{name} is" if name == connection.host else f"{connection.host} leads to {name},"
            refused = refused or f"{leads} {why}"
            continue
        if Attempt.has_ended():  # a name may lead to a hundred addresses where nothing answers
            last = last or ConnectTimeoutError(connection, "no time is left")
            break
        try:
            return create_connection(
                (name, connection.port), connection.timeout, socket_options=connection.socket_options
            )
        except TimeoutError as error:
            last = ConnectTimeoutError(connection, f"no connection within {CONNECT_S:g} s")
            last.__cause__ = error
        except OSError as error:
            last = NewConnectionError(connection, str(error))
    raise last or RefusedAddressError(refused)


class _Public(Timed):
    private = False

    def _new_conn(self) -> socket.socket:
        return connect(self, private=self.private)  # type: ignore[arg-type]


class _Anywhere(_Public):
    private = True


@cache
def pool(*, private: bool) -> urllib3.PoolManager:
    """Connections to public addresses or, with `private`, also to those of this machine and its networks.

    What the environment says of proxies is not used: behind one, nobody could look at the address.
    """
    manager = urllib3.PoolManager(
        maxsize=16,
        timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
        retries=urllib3.Retry(
            connect=1,
            read=1,
            other=0,
            status=2,
            redirect=False,
            status_forcelist=(429, 500, 502, 503, 504),
            backoff_factor=0.3,
            raise_on_status=False,
            respect_retry_after_header=False,  # a server may ask for hours
        ),
        cert_reqs="CERT_REQUIRED",
        ca_certs=trusted_roots(),
    )
    manager.pool_classes_by_scheme = pools(_Anywhere if private else _Public)
    return manager
