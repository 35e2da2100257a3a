"""Connections of HTTP sources: only to addresses that are allowed, and only for so long."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from storage.source_errors import SourceDownError, SourceError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Deadline:
    """How long a whole answer may still take; ``clock`` gives seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self, at_most: float | None = None) -> float:
        """Seconds that are left. Raises httpcore.ReadTimeout when there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout("the whole answer took too long")
        return left if at_most is None else min(left, at_most)


class AllowedBackend(httpcore.NetworkBackend):
    """Connects to the address that was checked, never to a name, which may mean another by then."""

    def __init__(self, hosts: Sequence[str], deadline: Deadline) -> None:
        self._hosts = hosts
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to one of the host's addresses, all of which must be allowed."""
        failure: Exception | None = None
        for address in allowed_addresses(host, port, self._hosts):
            try:
                stream = self._plain.connect_tcp(
                    str(address), port, self._deadline.left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._deadline)
        raise failure or httpcore.ConnectError(f"{host} has no address")


class _TimedStream(httpcore.NetworkStream):
    """A stream whose every step keeps to the deadline of the whole."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return _TimedStream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def allowed_addresses(host: str, port: int, hosts: Sequence[str]) -> list[Address]:
    """The addresses of a host. Raises SourceError if one is private and not listed.

    An address is listed as itself, or by a network that it is in. Private is whatever is not
    globally reachable: loopback, link-local, the clouds' metadata services, unspecified.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceDownError("name", f"{host}: the name has no address: {error}") from error
    addresses: list[Address] = []
    for *_, place in found:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        is_public = address.is_global and not address.is_multicast
        if not is_public and not any(_is_listed(address, one) for one in hosts):
            raise SourceError(
                "private",
                f"{host} leads to the private address {address}; list {address}, or its network, "
                "under hosts if it may be asked",
            )
        if address not in addresses:
            addresses.append(address)
    return addresses


def _is_listed(address: Address, listed: str) -> bool:
    try:
        return address in ipaddress.ip_network(listed, strict=False)
    except ValueError:
        return False
