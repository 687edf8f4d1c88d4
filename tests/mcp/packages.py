"""The packages of the extra ``mcp``."""

import os
from importlib.util import find_spec

import pytest

REQUIRED = "OAUTH_GUARD_TEST_MCP"


def require_packages() -> None:
    """Skips a module whose packages are missing. If they are required, it fails."""
    missing = [name for name in ("fastmcp", "mcp", "uvicorn") if find_spec(name) is None]
    if missing and os.environ.get(REQUIRED) != "required":
        pytest.skip(f"not installed: {', '.join(missing)} (the extra mcp)", allow_module_level=True)
