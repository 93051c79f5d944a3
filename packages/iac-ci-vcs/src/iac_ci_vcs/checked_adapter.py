"""Connections of ``requests`` to checked addresses."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from iac_ci_vcs.network_addresses import resolve

if TYPE_CHECKING:
    from urllib3 import PoolManager


class _Checked(HTTPConnection):
    """A connection to a checked address: the name is not resolved again after the check."""

    def _new_conn(self) -> socket.socket:
        try:
            addresses = resolve(self.host, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        failed: OSError | None = None
        for address in addresses:
            try:
                return create_connection(
                    (address, self.port),
                    self.timeout,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except OSError as error:
                failed = error
        raise NewConnectionError(self, f"no address of {self.host} answered: {failed}")


class _CheckedTls(_Checked, HTTPSConnection):
    """The same with TLS; the certificate is compared with the name."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Checked


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedTls


class CheckedAdapter(HTTPAdapter):
    """Sends the requests of a session to checked addresses only, also after redirects."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Make the pools with checked connections."""
        super().init_poolmanager(*arguments, **named)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


__all__ = ["CheckedAdapter"]
