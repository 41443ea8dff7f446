"""Requests and answers, typed; errors as problem details."""
