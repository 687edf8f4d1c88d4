"""Real proxies that terminate mutual TLS in front of a real server."""
