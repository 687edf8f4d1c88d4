"""Why a token is let in or refused, step by step.

The verdict is that of the flows that guard views, and is reached by them; what is here watches them, and tells. Nobody
else is told: no signal is sent, no refusal is logged, and no validation counted. What validation itself does is done:
the database and the authorization servers are asked, and what they say is remembered.
"""

import io
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.urls import Resolver404, resolve

from .credentials import Credentials, Secret, read_authlib_credentials, read_credentials
from .effects import Flow
from .errors import GuardError, Reason
from .explained_rules import AUTHLIB_CREDENTIALS, CREDENTIALS, Step, steps_of_credentials
from .explained_verdict import Judge, Judgement, ValidatorExplanation, judgement_of
from .protector import ResourceProtector
from .remedies import REMEDIES
from .requirements import parse_requirements
from .runtime import arun, run_outside_loop
from .signals import reason_of
from .stand_ins import STAND_IN
from .view_guard import ViewGuard

__all__ = ["Explanation", "Step", "ValidatorExplanation", "aexplain", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict of one guard, and how it came to it.

    Attributes:
        verdict: ``"unavailable"`` where nobody could tell.
        status: of the answer; 200 where the view would run.
        error: the code in the answer's body, ``None`` where the view would run.
        challenge: the answer's ``WWW-Authenticate``, if it has one.
        reason: why, where it is no yes.
        remedy: what to do about that.
        requirement: what the view asks for, in words; ``None`` without a guard.
        credentials: how the header was read.
        validators: those that serve the scheme, in their order.
        asked: the names of those that the guard asks about this token.
    """

    verdict: Judgement
    status: int
    error: str | None
    challenge: str | None
    reason: Reason | None
    remedy: str | None
    requirement: str | None
    credentials: tuple[Step, ...]
    validators: tuple[ValidatorExplanation, ...]
    asked: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation as JSON holds it."""
        return {
            "verdict": self.verdict,
            "status": self.status,
            "error": self.error,
            "challenge": self.challenge,
            "reason": self.reason,
            "remedy": self.remedy,
            "requirement": self.requirement,
            "credentials": [step.as_json() for step in self.credentials],
            "validators": [validator.as_json() for validator in self.validators],
            "asked": list(self.asked),
        }


def explain(
    protector: ResourceProtector,
    authorization: str | Secret[str] | None,
    *,
    guard: ViewGuard | None = None,
    method: str = "GET",
    uri: str | None = None,
) -> Explanation:
    """Judge what a request presents as a guard does, and tell how the verdict was reached. Sends no signal.

    Args:
        protector: who judges.
        authorization: the whole value of the header, scheme and token; ``None`` for a request without.
        guard: what stands before a view, for what it asks beside a good token.
        method: the request's.
        uri: the request's path, or the whole of it.

    Raises:
        ImproperlyConfigured: the protector cannot judge anything.
        SynchronousOnlyOperation: an event loop runs in this thread.
        Exception: whatever code of the site's raises, which would be status 500.
    """
    # From here on no frame of ours shows it.
    authorization = _as_secret(authorization)
    flow = _explain_flow(protector, authorization, guard, method, uri)
    return run_outside_loop(flow, "await aexplain()")


async def aexplain(
    protector: ResourceProtector,
    authorization: str | Secret[str] | None,
    *,
    guard: ViewGuard | None = None,
    method: str = "GET",
    uri: str | None = None,
) -> Explanation:
    """See `explain`."""
    authorization = _as_secret(authorization)
    return await arun(_explain_flow(protector, authorization, guard, method, uri))


def _as_secret(authorization: str | Secret[str] | None) -> Secret[str] | None:
    return Secret(authorization) if isinstance(authorization, str) else authorization


def _explain_flow(
    protector: ResourceProtector,
    authorization: Secret[str] | None,
    guard: ViewGuard | None,
    method: str,
    uri: str | None,
) -> Flow[Explanation]:
    explained = guard or ViewGuard(protector, {}, parse_requirements(), optional=False)
    request = _request(authorization, method, uri)
    judge = Judge(protector)
    credentials = _read_credentials(protector, request, authorization)
    error = yield from judge.error_flow(explained, request, credentials)
    validators: tuple[ValidatorExplanation, ...] = ()
    if isinstance(credentials, Credentials):
        yield from judge.tell_others_flow(credentials, protector._inquiry(request, explained.requirements))
        validators = tuple(judge.told(credentials))
    reason = None if error is None else reason_of(error)
    ladder = AUTHLIB_CREDENTIALS if protector.options.as_authlib else CREDENTIALS
    return Explanation(
        verdict=judgement_of(error),
        status=200 if error is None else int(error.status_code),
        error=None if error is None else str(error.error),
        challenge=None if error is None else dict(error.get_headers()).get("WWW-Authenticate"),
        reason=reason,
        remedy=None if reason is None else REMEDIES[reason],
        requirement=None if guard is None else guard.describe(),
        credentials=steps_of_credentials(ladder, credentials.reason if isinstance(credentials, GuardError) else None),
        validators=validators,
        asked=tuple(validator.validator for validator in validators if validator.asked),
    )


def _read_credentials(
    protector: ResourceProtector, request: HttpRequest, authorization: Secret[str] | None
) -> Credentials | GuardError:
    if STAND_IN.get() is None:
        return protector.read_credentials(request)
    # What is explained is what was handed over, whatever a test puts in its place.
    read = read_authlib_credentials if protector.options.as_authlib else read_credentials
    return read(authorization, protector._by_scheme())


def _request(authorization: Secret[str] | None, method: str, uri: str | None) -> HttpRequest:
    """A request as Django makes it, for what hooks and checks look at."""
    parts = urlsplit(uri or "/")
    secure = parts.scheme == "https"
    environ: dict[str, Any] = {
        # As Django has it, whatever a client sends.
        "REQUEST_METHOD": method.upper(),
        # PEP 3333: its octets, decoded, each as one character.
        "PATH_INFO": unquote_to_bytes((parts.path or "/").encode(errors="surrogateescape")).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname or _own_host(),
        "SERVER_PORT": str(parts.port or (443 if secure else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": io.BytesIO(),
    }
    request = WSGIRequest(environ)
    if uri is not None:
        with suppress(Resolver404):
            # Checks may look at what Django has read from the path.
            request.resolver_match = resolve(request.path_info)
    if authorization is not None:
        # Last: what raises above, a converter of the site's say, is reported with our locals.
        request.META["HTTP_AUTHORIZATION"] = authorization.reveal()
    return request


def _own_host() -> str:
    """A host that Django allows."""
    for host in settings.ALLOWED_HOSTS:
        if "*" not in host:
            return str(host).removeprefix(".")
    return "localhost"
