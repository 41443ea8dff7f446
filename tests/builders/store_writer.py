"""A program that writes to a library of made clips until it is killed; says what is done, line by line.

    python store_writer.py FOLDER FIRST COUNT STEP...

For each number from FIRST it takes the steps: `add` a video, `remove` the one before, `save` the index,
`teach` a head that tags the library. A line on stdout acknowledges each.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from made_library import add_video, make_library, remove_video

from search.library import Library

CLIPS = 40


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def teach(library: Library, number: int) -> None:
    """Adds a head, tags with it, and puts it in the place of the one before, in the steps of a lesson."""
    from encoders.heads.head import ActionSpan

    with library.write() as catalog:
        head_id = catalog.actions.add_head(
            kind="kinetics",  # one without parameters
            name="waving",
            encoder_id="made",
            actions=["waving"],
            threshold=0.5,
            card={"lesson": number},
            parameters=None,
            is_active=False,
        )
    with library.read() as catalog:
        ids = catalog.videos_with_clips()
    for video_id in ids:
        with library.write() as catalog:
            catalog.actions.hold_videos()
            catalog.actions.add_segments(video_id, head_id, [ActionSpan("waving", 0.0, 4.0, 0.9)])
    with library.write() as catalog:
        catalog.actions.activate_head(head_id)


def main() -> None:
    folder, first, count, *steps = sys.argv[1:]
    library = make_library(Path(folder))
    say("opened")
    for number in range(int(first), int(first) + int(count)):
        for step in steps:
            if step == "add":
                add_video(library, f"/v/{number}.mp4", CLIPS, seed=number)
            elif step == "remove" and number > int(first):
                remove_video(library, f"/v/{number - 1}.mp4")
            elif step == "save":
                library.index_keeper.save()
            elif step == "teach":
                teach(library, number)
            say(step, number)
    library.close()


if __name__ == "__main__":
    main()
