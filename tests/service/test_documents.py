"""One description of an answer: the command line, the HTTP API and OpenAPI keep to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NotRequired

import jsonschema_rs
import pytest
from made_library import add_video, make_library
from programs import ROOT
from pydantic import ValidationError
from typing_extensions import TypedDict

from api.app import create_app
from api.schemas.answers import json_response
from search.catalog.keys import Keys, Role
from search.documents.about import About, answer
from search.library import Library

COMMAND = "from indexer.commands.app import main; main()"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    opened = make_library(tmp_path / "library")
    add_video(opened, "/archive/one.mp4")
    add_video(opened, "/archive/two \u2028.mp4", seed=1)
    with opened.database.write() as connection:
        Keys(connection).create(Role.read, name="desk", expires_days=1)
    yield opened
    opened.close()


def printed(library: Library, *words: str) -> Any:
    command = [sys.executable, "-c", COMMAND, *words, "--json", "--library", str(library.folder)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(ran.stdout)


def test_the_command_line_prints_what_openapi_describes(library: Library) -> None:
    schemas = create_app(library).openapi()["components"]

    def check(name: str, document: dict[str, Any]) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": schemas}
        jsonschema_rs.validator_for(schema).validate(document)
        described = list(schemas["schemas"][name]["properties"])
        assert list(document) == described, "the same fields in the same order"
        for field in document:  # none of them can be left out, and no other put in
            rest = {key: value for key, value in document.items() if key != field}
            assert not jsonschema_rs.is_valid(schema, rest), field
        assert not jsonschema_rs.is_valid(schema, {**document, "another": 1})

    check("StatusAnswer", printed(library, "status"))
    videos = printed(library, "videos")["videos"]
    assert len(videos) == 2
    for video in videos:
        check("VideoAnswer", video)
    (key,) = printed(library, "keys", "list")["keys"]
    assert key.pop("state") == "valid"
    check("KeyAnswer", key)


def test_describing_an_answer_loads_no_pydantic() -> None:
    names = [f"search.documents.{path.stem}" for path in (ROOT / "search" / "documents").glob("*.py")]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "search.documents.hits" in loaded and not loaded & {"pydantic", "fastapi", "sqlalchemy"}


@answer()
class Described(TypedDict):
    share: Annotated[float, About("Of the whole.", ge=0, le=1)]
    places: Annotated[list[int], About()]
    since: NotRequired[Annotated[str | None, About("When it began.", default=None)]]


def test_an_answer_is_checked_before_it_is_sent() -> None:
    sent = json_response(Described, {"share": 0.5, "places": [1]})
    assert json.loads(bytes(sent.body)) == {"share": 0.5, "places": [1], "since": None}
    for wrong in (
        {"share": 1.5, "places": []},
        {"share": -0.5, "places": []},
        {"share": 0.5, "places": ["one"]},
        {"share": 0.5},
        {"share": 0.5, "places": [], "another": 1},
    ):
        with pytest.raises(ValidationError):
            json_response(Described, wrong)
