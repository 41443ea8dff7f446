"""How far answers can be believed: words, "nothing here", lessons, matched spans.

    python -m benchmarks.answers --photographs DIR [--everyday DIR]

See `docs/answers.md` for what is measured, on what, and what came out.
"""
