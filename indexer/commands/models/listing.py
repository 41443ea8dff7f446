"""`indexer encoders` and `indexer models`: what there is."""

from __future__ import annotations

from indexer.terminal import show
from indexer.terminal.options import JsonOption, print_json


def encoders(as_json: JsonOption = False) -> None:
    """List encoders: size, licence, paper, and whether they can be loaded here."""
    from dataclasses import asdict

    from encoders import list_encoders

    with show.status("asking the model hub"):
        found = list_encoders()
    if as_json:
        print_json({"encoders": [asdict(info) for info in found]})
    else:
        from indexer.terminal.show_library import show_encoders

        show_encoders(found)


def models(as_json: JsonOption = False) -> None:
    """The models that can be trained."""
    from encoders.models.registry import MODELS

    rows = [
        {
            "model": info.name, "frames": info.frames, "size": info.size, "stride": info.stride,
            "flow": info.needs_flow, "takes": info.frame_rule, "paper": info.paper,
        }
        for info in MODELS.values()
    ]  # fmt: skip
    if as_json:
        print_json({"models": rows})
    else:
        from indexer.terminal.show_training import show_models

        show_models(rows)
