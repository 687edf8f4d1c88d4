"""What a guard adds to an error before it responds with it."""

from django.http import HttpRequest
from django.test import RequestFactory

from async_oauth_guard import ResourceProtector
from async_oauth_guard.errors import GuardError, InvalidTokenError, MissingAuthorizationError
from async_oauth_guard.guard.refusals import complete_error, refuse_flow
from async_oauth_guard.protocol.requirements import parse_requirements
from async_oauth_guard.runtime.drivers import drive
from async_oauth_guard.runtime.effects import Notify
from tests.unit.validators.remote_validators import API, jwt

PROTECTOR = ResourceProtector(jwt(API))


def named_scope(error: InvalidTokenError, required: str) -> tuple[str, ...]:
    return complete_error(PROTECTOR, error, parse_requirements(required).scopes.for_method("GET")).scope


def test_error_that_is_raised_again() -> None:
    """A hook may raise one error for several views. Each challenge names the scopes of its own view."""
    error = InvalidTokenError()
    assert [named_scope(error, required) for required in ("a b", "c")] == [("a", "b"), ("c",)]


def test_scope_of_a_hook() -> None:
    """The scopes that a hook wrote into its error are kept."""
    assert named_scope(InvalidTokenError(scope=("own",)), "a") == ("own",)


def refused(error: GuardError, required: str = "a", request: HttpRequest | None = None) -> GuardError:
    request = RequestFactory().get("/") if request is None else request
    flow = refuse_flow(PROTECTOR, error, request, parse_requirements(required), MissingAuthorizationError())
    return drive(flow, {Notify: lambda effect: []})


def test_error_of_several_requests() -> None:
    """A hook may raise one error for several requests at a time. What one of them is told does not reach the others."""
    shared = InvalidTokenError()
    first = refused(shared)
    first.dpop_nonce = "of the first"
    second = refused(shared, "b")
    assert 'scope="a"' in str(first.challenge)
    assert 'scope="b"' in str(second.challenge)
    assert (first.dpop_nonce, second.dpop_nonce) == ("of the first", None)


def test_error_of_a_class_of_the_site() -> None:
    """It keeps its class and what the hook set, whatever its constructor needs."""

    class BlockedError(InvalidTokenError):
        def __init__(self, *, account: str) -> None:
            super().__init__(uri="https://example.com/blocked")
            self.account = account

    shared = BlockedError(account="7")
    refused(shared)
    again = refused(shared)
    assert isinstance(again, BlockedError)
    assert (again.account, again.uri, again.args) == ("7", "https://example.com/blocked", shared.args)


def test_error_that_a_protector_passes_on() -> None:
    """An overridden `acquire_token` may raise again what it caught. It is refused once, shared or not."""
    shared, request = InvalidTokenError(), RequestFactory().get("/")
    refused(shared)
    second = refused(shared, request=request)
    assert refused(shared, request=request) is second
    assert refused(second, request=request) is second
