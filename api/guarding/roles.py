"""The role that each route asks for: the one table, and the search for an address's line in it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from starlette.routing import compile_path

from search.catalog.keys import Role

READ, WRITE, ADMIN = Role.read, Role.write, Role.admin
_ID = re.compile("[0-9a-f]{1,32}")
OPEN = None  # for whoever can reach the server: no word of the library is in the answer

# Of every route; a test compares this with the routes there are, so that none is forgotten. What is not here
# (a route that nobody entered, an address that does not exist) needs `admin`, or `read` where it only reads.
ROLES: dict[tuple[str, str], Role | None] = {
    # the page, which asks for the key
    ("GET", "/"): OPEN,
    ("GET", "/login"): OPEN,
    ("GET", "/{name}.css"): OPEN,
    ("GET", "/{name}.js"): OPEN,
    ("GET", "/{name}.svg"): OPEN,
    ("GET", "/actions/{name}.js"): OPEN,
    ("GET", "/library/{name}.css"): OPEN,
    ("GET", "/library/{name}.js"): OPEN,
    ("GET", "/player/{name}.css"): OPEN,
    ("GET", "/player/{name}.js"): OPEN,
    ("GET", "/search/{name}.css"): OPEN,
    ("GET", "/search/{name}.js"): OPEN,
    ("GET", "/shared/{name}.js"): OPEN,
    ("GET", "/v1/session"): OPEN,
    ("POST", "/v1/session"): OPEN,
    ("DELETE", "/v1/session"): OPEN,
    # the state of the server
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): READ,
    ("GET", "/v1/openapi.json"): READ,
    ("GET", "/v1/status"): READ,
    # looking and searching
    ("POST", "/v1/search"): READ,
    ("POST", "/v1/search/example"): READ,
    ("GET", "/v1/clips"): READ,
    ("GET", "/v1/clips/{clip_id}"): READ,
    ("GET", "/v1/clips/{clip_id}/preview"): READ,
    ("GET", "/v1/videos"): READ,
    ("GET", "/v1/videos/{video_id}"): READ,
    ("GET", "/v1/videos/{video_id}/file"): READ,
    ("GET", "/v1/videos/{video_id}/key-frames"): READ,
    ("GET", "/v1/videos/{video_id}/segments"): READ,
    ("GET", "/v1/videos/{video_id}/timeline"): READ,
    ("POST", "/v1/videos/{video_id}/matches"): READ,
    ("POST", "/v1/videos/{video_id}/matches/example"): READ,
    ("GET", "/v1/videos/{video_id}/storyboard"): READ,
    ("GET", "/v1/videos/{video_id}/sprites.jpg"): READ,
    ("GET", "/v1/videos/{video_id}/sprites.vtt"): READ,
    ("GET", "/v1/videos/{video_id}/preview"): READ,
    ("GET", "/v1/videos/{video_id}/cut"): READ,
    ("GET", "/v1/key-frames/{key_frame_id}"): READ,
    ("GET", "/v1/frames/{video_id}"): READ,
    ("GET", "/v1/segments"): READ,
    ("GET", "/v1/segments/export"): READ,
    ("GET", "/v1/actions"): READ,
    ("GET", "/v1/actions/{name:path}/suggestions"): READ,  # before the next line, which takes any path
    ("GET", "/v1/actions/{name:path}"): READ,
    ("GET", "/v1/jobs"): READ,
    ("GET", "/v1/jobs/{job_id}"): READ,
    # what adds, and takes back what it added
    ("POST", "/v1/ingest"): WRITE,
    ("POST", "/v1/actions"): WRITE,
    ("POST", "/v1/feedback"): WRITE,
    ("DELETE", "/v1/actions/{name:path}/examples/{example_id}"): WRITE,
    # what takes away, and who may do what
    ("DELETE", "/v1/videos/{video_id}"): ADMIN,
    ("DELETE", "/v1/actions/{name:path}"): ADMIN,
    ("GET", "/v1/keys"): ADMIN,
    ("POST", "/v1/keys"): ADMIN,
    ("DELETE", "/v1/keys/{key_id}"): ADMIN,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's line in the table.

    Attributes:
        route: As in the table; "(none)" for what is not in it. Holds nothing that the client chose.
        role: That it takes; None for none.
        changes: Whether it changes something, so that it belongs in the audit log; what has no line in the
            table changes nothing.
        of: The ids and names in its path, short; "?" for an id that is none.
    """

    route: str
    role: Role | None
    changes: bool
    of: dict[str, str]


def asked_for(method: str, path: str) -> Asked:
    """Finds a request's line in the table."""
    method = "GET" if method == "HEAD" else method
    for (known, template), role in ROLES.items():
        if known == method and (found := _pattern(template).match(path)):
            of = {name: _short(name, value) for name, value in found.groupdict().items()}
            return Asked(template, role, role in (WRITE, ADMIN) and method != "GET", of)
    return Asked("(none)", READ if method in ("GET", "OPTIONS") else ADMIN, False, {})


def methods_of(path: str) -> list[str]:
    """Lists what an address answers, by all lines of the table that it has."""
    known = {method for method, template in ROLES if _pattern(template).match(path)}
    return sorted(known | {"HEAD"} if "GET" in known else known)


def _short(name: str, value: str) -> str:
    """A part of a path as it is written down: no words, nor a key by mistake, where an id belongs."""
    return value[:100] if not name.endswith("_id") or _ID.fullmatch(value) else "?"


def covers(method: str, template: str) -> bool:
    """Tells whether the table has a line for a route, by its path template."""
    lines = [known for verb, known in ROLES if verb == ("GET" if method == "HEAD" else method)]
    return _names_apart(template) in map(_names_apart, lines) or any(
        "{name}." in line and _pattern(line).match(template) for line in lines
    )


def _names_apart(template: str) -> str:
    """The template with every parameter called the same."""
    return re.sub(r"\{[^}]*\}", "{}", template)


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]
