"""Whether tests run: nowhere else does anything stand in for tokens or servers."""

from django.test import utils

__all__ = ["check_test_environment", "is_test_environment"]


def is_test_environment() -> bool:
    """Whether Django's test environment has been set up: by its runner, by pytest-django, or by hand."""
    # Django says so nowhere in public; `setup_test_environment()` itself refuses a second call by this.
    return hasattr(utils._TestState, "saved_data")


def check_test_environment() -> None:
    """Let nothing stand in where no tests run any more.

    Raises:
        RuntimeError: none do.
    """
    if not is_test_environment():
        raise RuntimeError("an override_oauth() is still in force, although no tests run: it was never left")
