"""Specs, the texts that name an encoder or a captioner: a family's name, or that, a colon and the rest."""

from __future__ import annotations

from collections.abc import Sequence


def fits_forms(spec: str, forms: Sequence[str]) -> bool:
    """Checks that a spec is of one of the forms, as far as the name and the colon tell.

    Args:
        spec: "openclip:ViT-B-32/laion2b_s34b_b79k".
        forms: In the words of an error text: "offline", "openclip:<arch>/<tag>".
    """
    name, colon, _ = spec.partition(":")
    return any(form.partition(":")[:2] == (name, colon) for form in forms)


def check_forms(name: str, specs: Sequence[str]) -> None:
    """Checks that there are specs or forms of a family, and that all begin with its name.

    Raises:
        ValueError: They do not.
    """
    if not specs or any(spec.partition(":")[0] != name for spec in specs):
        raise ValueError(f"the specs of {name!r} must begin with it, got {', '.join(specs) or 'none'}")
