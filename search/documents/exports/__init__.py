"""Segments as other programs read them, one format a module.

Times are presentation times as the file states them. Players and editors count from the beginning of a
file, so that for the few files whose clock does not begin at 0 the exports for them take `origins`.
No text can leave its field: line breaks and other control characters become spaces, and each format's
own marks are escaped.
"""
