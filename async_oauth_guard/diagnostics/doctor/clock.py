"""Examines the clock of an authorization server: how far it differs from the clock of this machine."""

from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime

from .examination import Finding, not_applicable, ok, problem, warning
from .probe import Exchange

__all__ = ["NOTICEABLE_SKEW", "examine_clock", "skew_of"]

NOTICEABLE_SKEW = 5.0
"""Seconds. A larger difference between two clocks is worth a warning."""

_SYNCHRONIZE = "Synchronize the clocks of both machines with NTP: until then, {what} seem expired or not yet valid."


def examine_clock(exchanges: Iterable[Exchange], leeway: float, what: str = "tokens") -> Iterator[Finding]:
    """Report how far the server's clock differs from ours, as far as its responses prove it.

    Args:
        exchanges: the requests to the server, and its responses.
        leeway: seconds by which the clocks may differ before valid tokens, or what else ``what`` names, are refused.
    """
    skews = [(exchange.seconds, skew) for exchange in exchanges if (skew := skew_of(exchange)) is not None]
    if not skews:
        yield not_applicable("No response of the server has a Date header.")
        return
    # The shortest exchange limits the server's time most tightly.
    _, skew = min(skews)
    remedy = _SYNCHRONIZE.format(what=what)
    ahead = f"The server's clock is {'ahead of' if skew > 0 else 'behind'} that of this machine by {abs(skew):.1f} s"
    if abs(skew) > leeway:
        yield problem(f"{ahead}, but only {leeway:g} s are allowed.", remedy, fault="clock", skew=round(skew, 1))
    elif abs(skew) > NOTICEABLE_SKEW:
        yield warning(f"{ahead}; up to {leeway:g} s are allowed.", remedy, fault="clock", skew=round(skew, 1))
    else:
        yield ok("The clocks of the server and of this machine show the same time.", skew=round(skew, 1))


def skew_of(exchange: Exchange) -> float | None:
    """Seconds by which the server's clock certainly differs from ours, or ``None`` if its response has no time."""
    if exchange.response is None:
        return None
    try:
        date = parsedate_to_datetime(exchange.response.fields["Date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    # RFC 9111 §4.2.3: a cached response was generated earlier, by its Age.
    age = exchange.response.fields.get("Age", "0")
    date += int(age[:10]) if age.isascii() and age.isdigit() else 0
    # The response was made between `began` and `ended`, within the second that Date names.
    at_least, at_most = date - exchange.ended, date + 1 - exchange.began
    return at_least if at_least > 0 else at_most if at_most < 0 else 0.0
