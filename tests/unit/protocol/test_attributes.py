"""Attributes that the site's tokens and users need not have."""

from types import SimpleNamespace
from typing import Any

import pytest

from async_oauth_guard.protocol.attributes import is_active, read_optional


class Dynamic:
    """Has an attribute that its class does not know."""

    def __getattr__(self, name: str) -> Any:
        if name == "cnf":
            return 1
        raise AttributeError(name)


class Slotted:
    __slots__ = ("cnf",)


class Faulty:
    @property
    def cnf(self) -> Any:
        return self.missing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("owner", "expected"), [(object(), 0), (SimpleNamespace(), 0), (SimpleNamespace(cnf=1), 1), (Dynamic(), 1)]
)
def test_read_optional(owner: Any, expected: int) -> None:
    """Wherever an attribute is, it counts. Without one, the default does."""
    assert read_optional(owner, "cnf", 0) == expected
    assert read_optional(owner, "x") is None


@pytest.mark.parametrize("owner", [Faulty(), Slotted()])
def test_faults(owner: Any) -> None:
    """An attribute that the class has, and that cannot be read, is not a missing one."""
    with pytest.raises(AttributeError):
        read_optional(owner, "cnf")


@pytest.mark.parametrize(
    ("values", "active"),
    [
        ({}, True),
        ({"is_active": True}, True),
        ({"is_active": False}, False),
        ({"is_active": 0}, False),
        ({"is_authenticated": False}, False),
        ({"is_authenticated": True, "is_active": False}, False),
    ],
)
def test_active_users(values: dict[str, Any], active: bool) -> None:
    """A user is active unless it says otherwise, or is anonymous."""
    assert is_active(SimpleNamespace(**values)) is active


def test_active_as_a_method() -> None:
    """A method would count as true for every user, so it is a mistake of the site."""

    class Legacy:
        def is_active(self) -> bool:
            return False

    with pytest.raises(TypeError, match=r"^Legacy.is_active must be a value or a property, got a method$"):
        is_active(Legacy())
