"""An MCP server behind the guard, as an ASGI application and as a Django view, and clients that sign in to both.

``python -m demo_asgi.mcp`` runs them, and prints each request. It needs the extra ``mcp``.
"""
