"""Names of test cases."""

import re
from typing import Any


def described(value: Any) -> str:
    """As ``repr``, but the same in each process: mutmut finds a test by its name."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
