"""MCP clients of others, with the demo's MCP servers."""
