"""What authorization servers publish and respond (metadata, key sets, introspection), and how long it is used.

`validators` decides whether a token is valid, and `runtime` sends the requests.
"""
