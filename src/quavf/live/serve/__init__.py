"""A server of live sessions: a page for browsers and a WebSocket for any device."""
