"""What a guard adds to an error before it responds with it."""

from async_oauth_guard import ResourceProtector
from async_oauth_guard.errors import InvalidTokenError
from async_oauth_guard.guard.refusals import complete_error
from async_oauth_guard.protocol.requirements import parse_requirements
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
