"""A small Django site, served by uvicorn, whose views require OAuth 2 access tokens.

``python -m demo_asgi`` serves the site. ``python -m demo_asgi --tour`` sends all requests of `demo_asgi.requests`,
`demo_asgi.remote` and `demo_asgi.bound` to it.
"""
