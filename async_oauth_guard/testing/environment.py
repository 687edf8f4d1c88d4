"""Whether tests run: nowhere else does anything stand in for tokens or servers."""

from django.test import utils

__all__ = ["is_test_environment"]


def is_test_environment() -> bool:
    """Whether Django's test environment has been set up: by its runner, by pytest-django, or by hand."""
    # Django says so nowhere in public; `setup_test_environment()` itself refuses a second call by this.
    return hasattr(utils._TestState, "saved_data")
