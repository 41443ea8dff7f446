"""The HTTP API and the page: `create_app` over a library, `run` to serve it."""
