"""An authorization server for tests: in process, or on a real port."""

import asyncio
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from .environment import is_test_environment
from .forgetting import forget_all
from .server_arguments import choose, kind_of, read_audience, read_members, read_port
from .server_clock import ServerClock
from .server_doors import InProcess, Port
from .server_endpoints import GARBAGE, Answer, Call, Endpoints, Request, refuse_client
from .server_faults import ENDPOINTS, Fault, Faults, NoAnswerError
from .server_tokens import ALGORITHMS, Issuer, SigningKey, SigningKeys

__all__ = ["FakeAuthorizationServer"]

_Discovery = Literal["both", "rfc8414", "openid", "none"]

_DISCOVERY: Final = get_args(_Discovery)
_IMPOSTOR: Final = "https://impostor.example.test"


class FakeAuthorizationServer:
    """An authorization server that issues tokens of any shape, and fails when it is told to.

    In process it stands in for ``issuer``: the validators that the site has for that issuer need no change, and nothing
    leaves the process. With `on_port` it listens on the loopback address, and may be used outside of tests too. Use it
    with ``with`` or ``async with``. It serves all threads and tasks of the process, and forgets everything when it is
    left, as do the validators.

    Args:
        issuer: the issuer identifier for which it stands in; on a port, only the path of it counts.
        clients: by ``client_id``, the secrets of those who may ask; for ``private_key_jwt`` the public key as a JWK,
            ``None`` for a client without any. Left out, whoever asks may.
        audience: whom tokens are for, unless they are told otherwise: a string, or several.
        algorithm: the algorithm that signs JWTs, or several: the first signs unless a token is told otherwise.
        discovery: where the metadata are: ``"rfc8414"``, ``"openid"``, ``"both"`` or ``"none"``.
        metadata: members of the metadata that are other than usual; ``None`` leaves one out. The address of an endpoint
            is where it is: ``{"jwks_uri": "/certs"}``.

    Raises:
        ValueError, TypeError: an argument has a value that cannot work.
    """

    def __init__(
        self,
        issuer: str = "https://sso.example.test",
        *,
        clients: Mapping[str, Any] | None = None,
        audience: str | Collection[str] = "https://api.example.test",
        algorithm: str | Collection[str] = "RS256",
        discovery: _Discovery = "both",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        _check_issuer(issuer)
        if clients is not None and not isinstance(clients, Mapping):
            raise TypeError("clients: secrets by client_id are wanted, such as {'api': 'its secret'}")
        choose("discovery", discovery, _DISCOVERY)
        self.clock = ServerClock()
        """Moves the time of this server and of all guards: ``clock.move(seconds)``."""
        self._declared_issuer = issuer
        self._clients = None if clients is None else dict(clients)
        self._audience = read_audience(audience)
        self._algorithms = _read_algorithms(algorithm)
        self._discovery = discovery
        self._given_metadata = read_members("metadata", metadata)
        self._port_number: int | None = None
        self._is_entered = False
        self._called = threading.Condition()

    def __repr__(self) -> str:
        where = "in process" if self._port_number is None else "on a port"
        return f"<FakeAuthorizationServer {self._declared_issuer} {where}>"

    def on_port(self, port: int = 0) -> Self:
        """Listen on ``127.0.0.1`` when it is entered; ``0`` is any port that is free. Returns the server itself.

        Raises:
            RuntimeError: it is entered already.
            ValueError, TypeError: no port has this number.
        """
        if self._is_entered:
            raise RuntimeError("write `with FakeAuthorizationServer().on_port() as server:`, before it is entered")
        self._port_number = read_port(port)
        return self

    # --- entering and leaving ---

    def __enter__(self) -> Self:
        self._check_entry()
        with ExitStack() as leaving:
            self._open(leaving)
            # What was begun stays, since nothing went wrong.
            self._leaving = leaving.pop_all()
        self._is_entered = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_entered = False
        self._leaving.close()

    async def __aenter__(self) -> Self:
        # On a thread: the loop is not to wait for another one to end.
        entry = _Entry(self)
        try:
            await asyncio.to_thread(entry.run)
        except BaseException:
            entry.abandon()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # On a thread of its own: the pool's may all be busy, and what waits there a cancellation would drop.
        pool = ThreadPoolExecutor(1)
        leaving = pool.submit(self.__exit__)
        pool.shutdown(wait=False)
        try:
            await asyncio.shield(asyncio.wrap_future(leaving))
        except asyncio.CancelledError:
            # Whoever comes next is to find nothing, so this moment is waited for.
            leaving.result()
            raise

    def _check_entry(self) -> None:
        if self._is_entered:
            raise RuntimeError("this server is entered already: write FakeAuthorizationServer() for each `with`")
        if self._port_number is None and not is_test_environment():
            raise RuntimeError(
                "FakeAuthorizationServer stands in for a server within tests only: run it under pytest-django or "
                "`manage.py test`, or write FakeAuthorizationServer().on_port()"
            )

    def _open(self, leaving: ExitStack) -> None:
        self._calls: list[Call] = []
        self._faults = Faults(
            {"rotate": self._withdraw_keys, "unknown_kid": self._rename_keys, "wrong_issuer": self._change_name}
        )
        # Last of all, and first of all: no guard is to see what another test left.
        leaving.callback(forget_all)
        if self._port_number is None:
            self._open_in_process(leaving)
        else:
            self._open_on_port(self._port_number, leaving)
        self.clock._start()
        leaving.callback(self.clock._stop)
        leaving.callback(self._faults.end_all)
        forget_all()

    def _open_in_process(self, leaving: ExitStack) -> None:
        self._build(self._declared_issuer, leaving)
        door = InProcess(self._answer)
        door.open(self._endpoints.origins)
        leaving.callback(door.close)

    def _open_on_port(self, number: int, leaving: ExitStack) -> None:
        # It answers at once, but nobody knows its address before this is over.
        door = Port(self._answer, number)
        leaving.callback(door.close)
        self._build(door.origin + urlsplit(self._declared_issuer).path, leaving)

    def _build(self, name: str, leaving: ExitStack) -> None:
        self._name = name
        self._issuer = Issuer(name, self._audience, self._algorithms, self.clock.now)
        leaving.callback(self._issuer.keys.give_back)
        self._endpoints = Endpoints(self._issuer, self._clients, self._discovery, self._given_metadata)

    # --- what it is ---

    @property
    def issuer(self) -> str:
        """The issuer identifier."""
        self._check_entered()
        return self._name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What it says of itself while it is well: the addresses of its endpoints among them."""
        self._check_entered()
        return dict(self._endpoints.metadata)

    @property
    def jwks(self) -> Mapping[str, Any]:
        """The key set as it is published at the moment."""
        self._check_entered()
        return self._endpoints.key_set

    @property
    def calls(self) -> list[Call]:
        """The calls that it got since it was entered, in order."""
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
        """The first call to an endpoint, as soon as there is one: for what happens on other threads.

        It blocks this one: in an async test write `await_for_call`.

        Raises:
            TimeoutError: ``timeout`` seconds have passed, of real time.
            ValueError: there is no such endpoint.
        """
        with self._called:
            if not self._called.wait_for(lambda: self.calls_to(endpoint), timeout):
                raise TimeoutError(f"no call to {endpoint} within {timeout} seconds")
        return self.calls_to(endpoint)[0]

    async def await_for_call(self, endpoint: str, timeout: float = 10) -> Call:  # noqa: ASYNC109 - as its twin has it
        """See `wait_for_call`: for what happens in other tasks of this loop too, which goes on meanwhile."""
        return await asyncio.to_thread(self.wait_for_call, endpoint, timeout)

    def _check_entered(self) -> None:
        if not self._is_entered:
            raise RuntimeError("this server does not run: write `with FakeAuthorizationServer() as server:`")

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
        """A JWT access token as RFC 9068 describes it, or of any other shape.

        Without ``user`` and ``subject`` it is a client's own token.

        Args:
            scopes: a string such as ``"a b"``, or several strings.
            user: a user of the site, or a user name: ``sub`` and ``username`` are the name.
            subject: another ``sub``.
            client_id: the client that it was issued to.
            audience: another audience than the server's usual one.
            expires_in: seconds from now; of an expired token, negative; ``None`` leaves ``exp`` out.
            claims: further claims, or others; ``None`` leaves one out.
            header: members of the header, in the same way: ``{"typ": "JWT"}``, ``{"alg": "none"}``.
            key: what it is signed with in place of the server's key: `foreign_key`, a key of joserfc's, or the secret
                of ``HS256``, ``HS384`` and ``HS512``. Of such a token introspection knows nothing.
            algorithm: how it is signed; ``"none"``: not at all.

        Raises:
            ValueError, TypeError: an argument has a value that cannot work.
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
        """A token that says nothing, and that introspection knows; see `jwt`. ``claims``: what is said of it.

        Raises:
            ValueError, TypeError: an argument has a value that cannot work.
        """
        self._check_entered()
        its_claims = self._issuer.claims(scopes, user, subject, client_id, audience, expires_in, claims)
        return self._issuer.opaque(its_claims)

    def revoke(self, token: str) -> None:
        """Let introspection say no from now on. Of a JWT too, whose signature is as good as ever.

        Raises:
            ValueError: it is none of this server's, or was revoked before.
        """
        self._check_entered()
        if not self._issuer.revoke(token):
            raise ValueError("token: this server has none like that; write token = server.opaque(...) first")

    def foreign_key(self) -> SigningKey:
        """A key that was never published, under the name of the one that is: for ``jwt(key=...)``."""
        self._check_entered()
        return self._keys.foreign(self._algorithms[0])

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. Whatever older keys signed is good as long as they are published."""
        self._check_entered()
        self._keys.rotate(keep_old=keep_old)

    @property
    def _keys(self) -> SigningKeys:
        return self._issuer.keys

    # --- faults ---

    def fail(self, name: str, *, at: str | None = None) -> Fault:
        """Begin to fail. ``with server.fail("down"):`` ends with the block; without ``with``, `recover` ends it.

        Several may be under way. There are ``down``, ``slow``, ``rotate``, ``unknown_kid``, ``wrong_issuer``,
        ``garbage`` and ``refuses_us``.

        Args:
            name: of the fault.
            at: the only endpoint that fails, for ``down``, ``slow``, ``garbage`` and ``refuses_us``; see `calls_to`.

        Raises:
            ValueError: there is no such fault, or it cannot be that of one endpoint.
        """
        self._check_entered()
        return self._faults.begin(name, at)

    def recover(self) -> None:
        """Be well again. That guards know of it, they have to find out: ``clock.move(60)`` lets them ask."""
        self._check_entered()
        self._faults.end_all()

    def _withdraw_keys(self) -> Any:
        withdrawn = self._keys.rotate(keep_old=False)
        return lambda: self._keys.publish(withdrawn)

    def _rename_keys(self) -> Any:
        self._issuer.unknown_kid = "unknown-key"

        def undo() -> None:
            self._issuer.unknown_kid = None

        return undo

    def _change_name(self) -> Any:
        self._issuer.name = _IMPOSTOR

        def undo() -> None:
            self._issuer.name = self._name

        return undo

    # --- answers ---

    def _answer(self, request: Request) -> Answer:
        """Called on the outgoing loop, or on the threads of a port.

        Raises:
            NoAnswerError: there is none.
        """
        place = self._endpoints.place_of(request)
        call = Call(place, request.method, request.path)
        with self._called:
            self._calls.append(call)
            self._called.notify_all()
        self._fail_to_answer(place)
        if self._faults.find("garbage", place):
            answer = GARBAGE
        elif self._faults.find("refuses_us", place):
            answer = refuse_client()
        else:
            answer = self._endpoints.answer(place, request, call)
        call.status = answer.status
        return answer.at(self.clock.now())

    def _fail_to_answer(self, place: str) -> None:
        if fault := self._faults.find("down", place):
            raise NoAnswerError(fault)
        if fault := self._faults.find("slow", place):
            if self._port_number is None:
                raise NoAnswerError(fault)
            fault._wait()


def _check_issuer(issuer: Any) -> None:
    if not isinstance(issuer, str) or not urlsplit(issuer).netloc:
        raise ValueError("issuer: a URL such as 'https://sso.example.test' is wanted")


class _Entry:
    """An entry on a thread, which nobody can stop. Where nobody waits for its end any more, it is undone."""

    def __init__(self, server: FakeAuthorizationServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._has_entered = False

    def run(self) -> None:
        with self._lock:
            if not self._is_abandoned:
                self._server.__enter__()
                self._has_entered = True

    def abandon(self) -> None:
        self._is_abandoned = True
        with self._lock:
            if self._has_entered:
                self._server.__exit__()


def _read_algorithms(algorithm: Any) -> tuple[str, ...]:
    if not isinstance(algorithm, Collection):
        raise TypeError(f"algorithm: write 'RS256', or ['RS256', 'ES256'], not {kind_of(algorithm)}")
    algorithms = (algorithm,) if isinstance(algorithm, str) else tuple(algorithm)
    for name in algorithms:
        choose("algorithm", name, ALGORITHMS)
    if not algorithms:
        raise ValueError("algorithm: one at least is wanted, such as 'RS256'")
    return algorithms
