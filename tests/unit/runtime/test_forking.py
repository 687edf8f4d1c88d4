"""What happens when the process forks."""

import os

import pytest

from async_oauth_guard.runtime.forking import renew_in_child


def test_systems_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, no process forks, and the package can be imported all the same."""
    monkeypatch.delattr(os, "register_at_fork")
    renew_in_child(lambda: pytest.fail("nothing forks"))
