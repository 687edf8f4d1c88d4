"""An authorization server for tests: in process, or on a real port."""

import asyncio
import os
import threading
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from ..arguments import check_issuer, choose, kind_of, read_audience, read_members, read_port, read_state, write_state
from ..environment import ServerClock, forget_all, is_test_environment
from .endpoints import GARBAGE, Call, Endpoints, Respond, ServerRequest, ServerResponse, refuse_client
from .network import ENDPOINTS, Fault, Faults, InProcess, NoResponseError, Port
from .proofs import ProofChecker
from .tokens import Issuer, SigningKey, read_algorithms

__all__ = ["FakeAuthorizationServer"]

_Discovery = Literal["both", "rfc8414", "openid", "none"]

_DISCOVERY: Final = get_args(_Discovery)


class FakeAuthorizationServer:
    """An authorization server that issues tokens of any shape, and simulates faults.

    In process, it replaces ``issuer``: the site's validators for that issuer need no change, and nothing leaves the
    process. With `on_port` it listens on the loopback address, also outside of tests. Use it with ``with`` or
    ``async with``. It serves all threads of the process. On leaving, the server and the validators forget everything.

    Args:
        issuer: the issuer identifier that it replaces. On a port, only its path counts.
        clients: the accepted clients, by ``client_id``: the secret, or for ``private_key_jwt`` the public key as a
            JWK, or ``None`` for a client without a secret. Default: every client is accepted.
        audience: the default audience of tokens: a string, or several.
        algorithm: the algorithm that signs JWTs, or several. The first one is the default.
        dpop_nonce: whether DPoP proofs at the token endpoint must have a nonce of this server (RFC 9449 §8).
        discovery: where the metadata are: ``"rfc8414"``, ``"openid"``, ``"both"`` or ``"none"``.
        metadata: members to change in the metadata; ``None`` leaves one out. If you change the address of an endpoint,
            the endpoint moves there: ``{"jwks_uri": "/certs"}``.
        respond: a sync or async function that gets each `ServerRequest` of a known client, unless a fault prevents it.
            It returns the `ServerResponse`, or ``None`` for the usual response.

    Raises:
        ValueError, TypeError: an argument is invalid.
    """

    def __init__(
        self,
        issuer: str = "https://sso.example.test",
        *,
        clients: Mapping[str, Any] | None = None,
        audience: str | Collection[str] = "https://api.example.test",
        algorithm: str | Collection[str] = "RS256",
        dpop_nonce: bool = False,
        discovery: _Discovery = "both",
        metadata: Mapping[str, Any] | None = None,
        respond: Respond | None = None,
    ) -> None:
        check_issuer(issuer)
        if clients is not None and not isinstance(clients, Mapping):
            raise TypeError("clients must be a mapping from client_id to the secret, such as {'api': 'its secret'}")
        choose("discovery", discovery, _DISCOVERY)
        if not isinstance(dpop_nonce, bool):
            raise TypeError(f"dpop_nonce must be True or False, got {kind_of(dpop_nonce)}")
        self.clock = ServerClock()
        """Moves the time of this server and of all guards: ``clock.move(seconds)``."""
        self._declared_issuer = issuer
        self._clients = None if clients is None else dict(clients)
        self._audience = read_audience(audience)
        self._algorithms = read_algorithms(algorithm)
        self._dpop_nonce = dpop_nonce
        self._discovery = discovery
        self._given_metadata = read_members("metadata", metadata)
        self._respond = respond
        self._port_number: int | None = None
        self._state: str | os.PathLike[str] | None = None
        self._is_entered = False
        self._called = threading.Condition()

    def __repr__(self) -> str:
        where = "in process" if self._port_number is None else "on a port"
        return f"<FakeAuthorizationServer {self._declared_issuer} {where}>"

    def on_port(self, port: int = 0, *, state: str | os.PathLike[str] | None = None) -> Self:
        """Listen on ``127.0.0.1`` when the server is entered. Returns the server itself.

        Args:
            port: the number; ``0`` means any free port.
            state: a file for the keys and the tokens. The server reads it on entering, and writes it on entering and
                on leaving. A later server on the same port continues with it.

        Raises:
            RuntimeError: the server is entered already.
            ValueError, TypeError: ``port`` is not a valid port number.
        """
        if self._is_entered:
            raise RuntimeError("call on_port() before entering: `with FakeAuthorizationServer().on_port() as server:`")
        self._port_number, self._state = read_port(port), state
        return self

    # --- entering and leaving ---

    def __enter__(self) -> Self:
        self._check_entry()
        with ExitStack() as stack:
            self._open(stack)
            # Nothing failed, so keep what was opened.
            self._stack = stack.pop_all()
        self._is_entered = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_entered = False
        self._stack.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__()

    def _check_entry(self) -> None:
        if self._is_entered:
            raise RuntimeError("this server is entered already; write FakeAuthorizationServer() for each `with`")
        if self._port_number is None and not is_test_environment():
            raise RuntimeError(
                "FakeAuthorizationServer replaces a server only in tests: run it under pytest-django or "
                "`manage.py test`, or write FakeAuthorizationServer().on_port()"
            )

    def _open(self, stack: ExitStack) -> None:
        self._calls: list[Call] = []
        self._faults = Faults(lambda name: self._issuer.fail(name))
        # Do this first and last, so that validators never see what another test left.
        stack.callback(forget_all)
        if self._port_number is None:
            self._open_in_process(stack)
        else:
            self._open_on_port(self._port_number, stack)
        self.clock._start()
        stack.callback(self.clock._stop)
        stack.callback(self._faults.end_all)
        forget_all()

    def _open_in_process(self, stack: ExitStack) -> None:
        self._build(self._declared_issuer, stack, {})
        transport = InProcess(self._respond_to)
        transport.open(self._endpoints.origins)
        stack.callback(transport.close)

    def _open_on_port(self, number: int, stack: ExitStack) -> None:
        saved = {} if self._state is None else read_state(self._state)
        # The port is open at once, but no client knows its address before this method returns.
        listener = Port(self._respond_to, number)
        stack.callback(listener.close)
        self._build(listener.origin + urlsplit(self._declared_issuer).path, stack, saved)
        if self._state is not None:
            self._save(self._state)
            stack.callback(self._save, self._state)

    def _build(self, name: str, stack: ExitStack, saved: Mapping[str, Any]) -> None:
        self._name = name
        self._issuer = Issuer(name, self._audience, self._algorithms, self.clock.now, saved)
        stack.callback(self._issuer.keys.give_back)
        proofs = ProofChecker(self.clock.now, requires_nonce=self._dpop_nonce)
        self._endpoints = Endpoints(
            self._issuer, self._clients, proofs, self._discovery, self._given_metadata, self._respond
        )

    def _save(self, state: str | os.PathLike[str]) -> None:
        write_state(state, self._issuer.save())

    # --- what it publishes and receives ---

    @property
    def issuer(self) -> str:
        """The issuer identifier."""
        self._check_entered()
        return self._name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata without faults, with the addresses of its endpoints."""
        self._check_entered()
        return dict(self._endpoints.metadata)

    @property
    def jwks(self) -> Mapping[str, Any]:
        """The key set that it currently publishes."""
        self._check_entered()
        return self._endpoints.key_set

    @property
    def calls(self) -> list[Call]:
        """The requests since it was entered, in order."""
        self._check_entered()
        return [*self._calls]

    def calls_to(self, endpoint: str) -> list[Call]:
        """Those to one endpoint: ``metadata``, ``keys``, ``introspection``, ``revocation``, ``token``, ``unknown``.

        Raises:
            ValueError: there is no such endpoint.
        """
        choose("endpoint", endpoint, (*ENDPOINTS, "unknown"))
        return [call for call in self.calls if call.endpoint == endpoint]

    def wait_for_call(self, endpoint: str, timeout: float = 10) -> Call:
        """Wait for a request to an endpoint, and return the first one. This blocks the thread.

        In an async test, use `await_for_call`.

        Raises:
            TimeoutError: none arrived within ``timeout`` seconds of real time.
            ValueError: there is no such endpoint.
        """
        with self._called:
            if not self._called.wait_for(lambda: self.calls_to(endpoint), timeout):
                raise TimeoutError(f"no call to {endpoint} within {timeout} seconds")
        return self.calls_to(endpoint)[0]

    async def await_for_call(self, endpoint: str, timeout: float = 10) -> Call:  # noqa: ASYNC109 - like `wait_for_call`
        """See `wait_for_call`. The event loop continues meanwhile, so this also works for requests from its tasks."""
        return await asyncio.to_thread(self.wait_for_call, endpoint, timeout)

    def _check_entered(self) -> None:
        if not self._is_entered:
            raise RuntimeError("this server does not run; write `with FakeAuthorizationServer() as server:`")

    # --- tokens ---

    def jwt(
        self,
        scopes: str | Collection[str] | None = None,
        *,
        user: Any = None,
        subject: str | None = None,
        client_id: str = "client",
        audience: str | Collection[str] | None = None,
        expires_in: float | None = 3600,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        key: Any = None,
        algorithm: str | None = None,
    ) -> str:
        """Issue a JWT access token according to RFC 9068, or of any other shape.

        Without ``user`` and ``subject``, the token is one that a client got for itself.

        Args:
            scopes: a string such as ``"a b"``, or several strings.
            user: a Django user, or a user name. ``sub`` and ``username`` are set to the name.
            subject: another ``sub``.
            client_id: the client that it was issued to.
            audience: an audience instead of the server's default.
            expires_in: seconds from now. Negative for an expired token; ``None`` leaves ``exp`` out.
            claims: claims to add or replace; ``None`` leaves one out.
            header: members of the header to add or replace: ``{"typ": "JWT"}``, ``{"alg": "none"}``.
            key: signs instead of the server's key: `foreign_key`, a joserfc key, or the secret for ``HS256``, ``HS384``
                and ``HS512``. Introspection does not know such a token.
            algorithm: the signature algorithm; ``"none"``: no signature.

        Raises:
            ValueError, TypeError: an argument is invalid.
        """
        self._check_entered()
        its_claims = self._issuer.claims(scopes, user, subject, client_id, audience, expires_in, claims)
        return self._issuer.jwt(its_claims, header=header, key=key, algorithm=algorithm)

    def opaque(
        self,
        scopes: str | Collection[str] | None = None,
        *,
        user: Any = None,
        subject: str | None = None,
        client_id: str = "client",
        audience: str | Collection[str] | None = None,
        expires_in: float | None = 3600,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """Issue an opaque token, which introspection knows. The arguments are those of `jwt`.

        Raises:
            ValueError, TypeError: an argument is invalid.
        """
        self._check_entered()
        its_claims = self._issuer.claims(scopes, user, subject, client_id, audience, expires_in, claims)
        return self._issuer.opaque(its_claims)

    def revoke(self, token: str) -> None:
        """Revoke a token: introspection calls it inactive from now on. The signature of a JWT stays valid.

        Raises:
            ValueError: this server did not issue the token, or it is revoked already.
        """
        self._check_entered()
        if not self._issuer.revoke(token):
            raise ValueError("token must be one that this server issued: write token = server.opaque(...) first")

    def introspect(self, token: str) -> dict[str, Any]:
        """The current introspection response for a token; ``{"active": False}`` if it is not valid."""
        self._check_entered()
        return self._issuer.describe(token)

    def foreign_key(self) -> SigningKey:
        """A key that is not published, with the ``kid`` of the published one: for ``jwt(key=...)``."""
        self._check_entered()
        return self._issuer.keys.foreign(self._algorithms[0])

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. Older signatures are valid while their keys are published."""
        self._check_entered()
        self._issuer.keys.rotate(keep_old=keep_old)

    # --- faults ---

    def fail(self, name: str, *, at: str | None = None) -> Fault:
        """Start a fault. ``with server.fail("down"):`` ends it after the block; without ``with``, `recover` ends it.

        Faults can be combined. There are ``down``, ``slow``, ``rotate``, ``unknown_kid``, ``wrong_issuer``,
        ``garbage`` and ``refuses_us``.

        Args:
            name: the name of the fault.
            at: the only endpoint that fails, for ``down``, ``slow``, ``garbage`` and ``refuses_us``; see `calls_to`.

        Raises:
            ValueError: there is no such fault, or it cannot be limited to one endpoint.
        """
        self._check_entered()
        return self._faults.begin(name, at)

    def recover(self) -> None:
        """End all faults. Guards back off after failures: with ``clock.move(60)`` they send requests again."""
        self._check_entered()
        self._faults.end_all()

    # --- responses ---

    async def _respond_to(self, request: ServerRequest) -> ServerResponse:
        """Runs on the event loop for outbound requests, or on that of a port.

        Raises:
            NoResponseError: a fault prevents a response.
        """
        place = self._endpoints.place_of(request)
        call = Call(place, request.method, request.path)
        with self._called:
            self._calls.append(call)
            self._called.notify_all()
        await self._raise_faults(place)
        if self._faults.find("garbage", place):
            response = GARBAGE
        elif self._faults.find("refuses_us", place):
            response = refuse_client()
        else:
            response = await self._endpoints.respond(place, request, call)
        call.status = response.status
        return response.at(self.clock.now())

    async def _raise_faults(self, place: str) -> None:
        if fault := self._faults.find("down", place):
            raise NoResponseError(fault)
        if fault := self._faults.find("slow", place):
            if self._port_number is None:
                raise NoResponseError(fault)
            await fault._wait()
