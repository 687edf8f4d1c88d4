"""Calls on an authorization server, made by the flows that serve requests, with a note of each exchange."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..drivers import interpose_flow
from ..effects import CallFailedError, Effect, Flow, HttpAnswer, HttpCall, Once
from ..errors import Reason, TemporarilyUnavailableError
from ..flows.answers import shown
from ..flows.clock import Clock
from ..runtime import run
from .examination import Finding, overhearing, trouble

__all__ = ["Exchange", "Visit", "fault_of", "visit"]

T = TypeVar("T")
# Stands for a failure of the HTTP client itself.
_OF_CLIENT = "client"
_Note = Callable[["Exchange"], None]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call, and what came of it: an answer or a failure. ``began`` and ``ended`` are seconds since the epoch."""

    url: str
    answer: HttpAnswer | None
    failure: CallFailedError | None
    began: float
    ended: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Visit:
    """What a flow came to.

    Attributes:
        value: its result, where there was one.
        reason: why there was none.
        said: what it said in the log.
        exchanges: the calls it made.
    """

    value: Any
    reason: Reason | None
    said: Sequence[str]
    exchanges: Sequence[Exchange]

    @property
    def seconds(self) -> float:
        """For how long a request would have waited for the calls."""
        return sum(exchange.seconds for exchange in self.exchanges)


def visit(flow: Flow[Any], clock: Clock) -> Visit:
    """Run ``flow`` on this thread, and note what it does."""
    exchanges: list[Exchange] = []
    value, reason = None, None
    with overhearing() as said:
        try:
            value = run(_noting_flow(flow, exchanges.append, clock))
        except TemporarilyUnavailableError as error:
            reason = error.reason
    return Visit(value, reason, said, exchanges)


def _noting_flow(flow: Flow[T], note: _Note, clock: Clock) -> Flow[T]:
    """``flow`` itself, and those that it waits for."""
    return interpose_flow(flow, lambda effect: _noted_flow(effect, note, clock))


def _noted_flow(effect: Effect, note: _Note, clock: Clock) -> Flow[Any]:
    if isinstance(effect, Once):
        once = effect
        return (yield replace(once, flow=lambda: _noting_flow(once.flow(), note, clock)))
    if not isinstance(effect, HttpCall):
        return (yield effect)
    answer, failure = None, None
    began, steady = clock.wall(), clock.steady()
    try:
        answer = yield effect
        return answer
    except CallFailedError as error:
        failure = error
        raise
    except TemporarilyUnavailableError:
        raise
    except Exception as error:
        # Of a client that the site makes. Its message may hold what was to be sent.
        failure = CallFailedError(Reason.SERVER_UNREACHABLE, type(error).__name__, _OF_CLIENT)
        raise failure from None
    finally:
        note(Exchange(effect.url, answer, failure, began, clock.wall(), clock.steady() - steady))


def fault_of(visited: Visit, remedies: Mapping[Reason, tuple[str, str]]) -> Finding:
    """What a visit without a result ran into. ``remedies``: the short name and the remedy for some reasons."""
    last = visited.exchanges[-1] if visited.exchanges else None
    known = None if visited.reason is None else remedies.get(visited.reason)
    if known is not None:
        fault, remedy = known
        return trouble(_sentence(visited), remedy, fault=fault)
    if last is not None and last.failure is not None:
        return _fault_of_failure(last.url, last.failure)
    if last is not None and last.answer is not None and last.answer.status != 200:
        return _fault_of_status(last.answer.status, _sentence(visited))
    return trouble(
        _sentence(visited),
        "Look at what the server, or a proxy before it, answers there: JSON with the content type application/json is "
        "wanted, and no page of HTML.",
        fault="answer",
    )


def _sentence(visited: Visit) -> str:
    # The last thing is what the others led to. Where the site has switched its log off, the reason has to do.
    return f"{'; '.join(visited.said) or f'It could not be used ({visited.reason})'}."


def _fault_of_failure(url: str, failure: CallFailedError) -> Finding:
    where, host, root = shown(url), urlsplit(url).hostname, failure.root or str(failure)
    if failure.reason is Reason.SERVER_TOO_SLOW:
        return trouble(
            f"{where} gave no answer in time.",
            "Look at the server's load and at what lies between; where it cannot be faster, give a longer timeout=.",
            fault="timeout",
        )
    if failure.reason is not Reason.SERVER_UNREACHABLE:
        return trouble(
            f"{where} gave no answer that may be read: {failure}.",
            "Correct the address, and have the server send its answer without compression and in the usual size.",
            fault="answer",
        )
    if root == _OF_CLIENT:
        return trouble(
            f"{where} was not called: the HTTP client raised {failure}.",
            "Correct what http_client= names: it makes an httpx.AsyncClient.",
            fault="client",
        )
    if root == "gaierror":
        return trouble(
            f"{where}: the host name {host} is not found (DNS).",
            "Correct the host name in the settings, or the name server that this machine asks.",
            fault="dns",
        )
    if root.startswith("SSL"):
        return trouble(
            f"{where}: there is no TLS connection to be had ({root}).",
            "Its certificate has to be valid, made out for this host name, and signed by an authority that is known "
            "here: verify= takes a file with the certificate of one of your own. Or nothing speaks TLS on this port.",
            fault="tls",
        )
    if root == "ConnectionRefusedError":
        return trouble(
            f"{where}: the connection is refused, so nothing listens there.",
            "Start the server, or correct the host and the port in the settings; a firewall may also be in between.",
            fault="refused",
        )
    return trouble(
        f"{where}: there is no connection, or it was broken off ({root}).",
        "Look at the network and the proxies between this machine and the server, and at the server's own log.",
        fault="unreachable",
    )


def _fault_of_status(status: int, sentence: str) -> Finding:
    if 300 <= status < 400:
        return trouble(
            f"{sentence[:-1]}, a redirect, which is never followed.",
            "Write the address in the settings to which the server redirects.",
            fault="redirect",
            status=status,
        )
    if status == 429 or status >= 500:
        return trouble(
            sentence,
            "Look at the server's own log and load: it says itself that it cannot answer.",
            fault="status",
            status=status,
        )
    return trouble(
        sentence,
        "Correct the address in the settings: the server has nothing for us there.",
        fault="status",
        status=status,
    )
