"""A small Django site, served by uvicorn, whose views require OAuth 2 access tokens.

``python -m demo_asgi`` serves it, ``python -m demo_asgi --tour`` tries every request of `demo_asgi.requests` on it.
"""
