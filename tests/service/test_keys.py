"""Keys, OIDC tokens and roles: over real catalogs, the real app, a real issuer on this machine."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from programs import run_indexer
from server import bearer
from starlette.routing import Route
from surroundings import browser_path, lacking

from api.app import create_app
from api.guarding import oidc
from api.guarding.roles import ROLES, asked_for, covers
from api.settings import ServerSettings
from encoders.errors import InvalidQueryError, NotFoundError, ReelseekError
from search.audit import AuditLog
from search.catalog.database import Database
from search.catalog.keys import Keys, Role, digest_of
from search.library import Library

SENT_TO = "http://archive.example"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        found = Database(f"sqlite:///{tmp_path / 'catalog.sqlite3'}")
    else:
        found = Database(request.getfixturevalue("postgres_url"))
    found.migrate()
    yield found
    found.close()


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    """Of a server that others reach."""
    app = create_app(library, hosts=None, is_local=False, settings=ServerSettings())
    with TestClient(app, base_url=SENT_TO) as found:
        yield found


# --- keys in the catalog ---------------------------------------------------------------------------


def test_a_key_is_taken_until_it_is_revoked_or_expires(database: Database) -> None:
    with database.write() as connection:
        keys = Keys(connection)
        key, token = keys.create(Role.write, name="newsroom", expires_days=1)
        _, short = keys.create(Role.read, expires_days=0.05 / 86400)
        assert keys.count_valid() == 2
    time.sleep(0.1)
    with database.write() as connection:
        keys = Keys(connection)
        found = keys.verify(token)
        assert found == key and found.role is Role.write and found.name == "newsroom"
        assert keys.verify(short) is None, "it has expired"
        assert keys.count_valid() == 1
        flipped = token[:-1] + ("A" if token[-1] != "A" else "B")
        swapped = token.replace(key.id, "0" * 12)
        for wrong in (flipped, swapped, token + "\n", token[:-1], "", "reelseek_", digest_of(token)):
            assert keys.verify(wrong) is None
        assert keys.revoke(key.id).revoked_at is not None
        assert keys.verify(token) is None and keys.count_valid() == 0
        with pytest.raises(NotFoundError, match="keys list"):
            keys.revoke("nothing")
    with database.read() as connection:
        assert next(one.id for one in Keys(connection).all()) == key.id


def test_only_a_digest_is_stored(tmp_path: Path) -> None:
    opened = Library(tmp_path / "library", create=True)
    with opened.database.write() as connection:
        key, token = Keys(connection).create(Role.read)
        again = Keys(connection).create(Role.read)[1]
    opened.close()
    secret = token.rpartition(f"{key.id}_")[2]
    assert len(secret) == 43 and secret not in again  # 256 bits in base64
    stored = b"".join(path.read_bytes() for path in (tmp_path / "library").iterdir())
    assert secret.encode() not in stored
    assert hashlib.sha256(token.encode()).hexdigest().encode() in stored


def test_what_makes_no_sense_is_no_key(database: Database) -> None:
    with database.write() as connection:
        keys = Keys(connection)
        for options in ({"name": "two\nlines"}, {"name": "x" * 101}, {"expires_days": 0.0}):
            with pytest.raises(InvalidQueryError):
                keys.create(Role.read, **options)
        with pytest.raises(InvalidQueryError):
            keys.create(Role.read, expires_days=float("nan"))


# --- the command line ------------------------------------------------------------------------------


def test_the_command_makes_shows_and_revokes(tmp_path: Path) -> None:
    made = run_indexer("keys", "create", "--role", "read", "--name", "press", "--expires", 7, "-L", tmp_path)
    token = made.stdout.strip()
    assert re.fullmatch(r"reelseek_[0-9a-f]{12}_[\w-]{43}", token), made.stderr
    listed = json.loads(run_indexer("keys", "list", "--json", "-L", tmp_path).stdout)["keys"]
    assert [(one["name"], one["role"], one["state"]) for one in listed] == [("press", "read", "valid")]
    assert token.split("_", 2)[2] not in json.dumps(listed)
    assert run_indexer("keys", "revoke", listed[0]["id"], "-L", tmp_path).returncode == 0
    shown = run_indexer("keys", "list", "-L", tmp_path).stdout
    assert listed[0]["id"] in shown and "revoked" in shown
    audit = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["what"], line["by"]) for line in audit] == [
        ("keys create", "command line"),
        ("keys revoke", "command line"),
    ]
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("arguments", [("--host", "0.0.0.0"), ("--require-keys",)])
def test_it_does_not_start_for_others_without_a_key(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = run_indexer("serve", "--port", 0, "-L", tmp_path, *arguments)
    assert refused.returncode == 1
    assert "indexer keys create" in refused.stderr and "OIDC" in refused.stderr
    assert "Traceback" not in refused.stderr and "serving" not in refused.stderr


# --- roles -----------------------------------------------------------------------------------------


def operations(client: TestClient) -> list[tuple[str, str]]:
    """Every method and path template of the app, the OpenAPI's and what it leaves out."""
    found = {
        (method, route.path)
        for route in all_routes(client.app.routes)  # type: ignore[attr-defined]
        for method in route.methods or ()
    }
    document = client.app.openapi()  # type: ignore[attr-defined]
    described = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    assert {path for _, path in described} <= {path.replace(":path}", "}") for _, path in found}
    assert len(described) > 15
    return sorted(found)


def all_routes(routes: Any) -> Iterator[Any]:
    for route in routes:
        if isinstance(route, (APIRoute, Route)):
            yield route
        else:  # a router that was included
            inner = getattr(route, "routes", None) or getattr(route.original_router, "routes", ())
            yield from all_routes(inner)


def test_no_route_is_forgotten_in_the_table(client: TestClient) -> None:
    for method, path in operations(client):
        assert covers(method, path), f"api/guarding/roles.py does not say who may {method} {path}"


def test_every_route_asks_for_its_role(client: TestClient, tokens: dict[str, str]) -> None:
    document = client.app.openapi()  # type: ignore[attr-defined]
    asked = 0
    for path, verbs in document["paths"].items():
        for verb in verbs:
            method = verb.upper()
            address = path.replace("{key_id}", "0" * 12).replace("{job_id}", "0" * 32)
            address = re.sub(r"\{\w+\}", "1", address)
            role = asked_for(method, address).role
            if role is None:
                assert client.request(method, address).status_code not in (403,)
                continue
            refused = client.request(method, address)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
            assert refused.headers["content-type"] == "application/problem+json"
            for held in Role:
                answer = client.request(method, address, headers=bearer(tokens[held.value]))
                if held.covers(role):
                    assert answer.status_code not in (401, 403), (method, path, held, answer.text)
                else:
                    assert answer.status_code == 403 and role.value in answer.json()["detail"]
                asked += 1
    assert asked >= 45


def test_what_roles_are_for() -> None:
    assert asked_for("DELETE", "/v1/videos/1").role is Role.admin
    assert asked_for("POST", "/v1/keys").role is Role.admin
    assert asked_for("DELETE", "/v1/actions/running").role is Role.admin
    # Who corrects can undo it.
    assert asked_for("POST", "/v1/feedback").role is Role.write
    assert asked_for("DELETE", "/v1/actions/running/examples/3").role is Role.write
    assert asked_for("POST", "/v1/ingest").role is Role.write
    assert asked_for("POST", "/v1/feedback").role is Role.write
    assert asked_for("POST", "/v1/search").role is Role.read
    assert asked_for("HEAD", "/v1/videos/1/file").role is Role.read
    assert asked_for("GET", "/healthz").role is None
    # what nobody entered
    assert asked_for("POST", "/v1/anything").role is Role.admin
    assert asked_for("GET", "/v1/anything").role is Role.read
    assert asked_for("GET", "/../etc/x.css").role is Role.read
    assert [
        role for role, count in {r: list(ROLES.values()).count(r) for r in Role}.items() if not count
    ] == []


def test_revoking_holds_from_the_next_request_on(client: TestClient, library: Library) -> None:
    with library.database.write() as connection:
        key, token = Keys(connection).create(Role.read)
    assert client.get("/v1/videos", headers=bearer(token)).status_code == 200
    assert client.post("/v1/session", json={"key": token}).status_code == 200
    assert client.get("/v1/videos").status_code == 200, "by the cookie"
    other_program = Database(str(library.database.url))
    with other_program.write() as connection:
        Keys(connection).revoke(key.id)
    other_program.close()
    assert client.get("/v1/videos", headers=bearer(token)).status_code == 401
    assert client.get("/v1/videos").status_code == 401, "the cookie as well"
    client.cookies.clear()


def test_keys_over_http(client: TestClient, tokens: dict[str, str], library: Library) -> None:
    admin = bearer(tokens["admin"])
    made = client.post("/v1/keys", json={"role": "read", "name": "desk"}, headers=admin)
    assert made.status_code == 201 and made.headers["cache-control"] == "no-store"
    key = made.json()
    assert client.get("/v1/videos", headers=bearer(key["key"])).status_code == 200
    listed = client.get("/v1/keys", headers=admin).json()["keys"]
    assert key["id"] in [one["id"] for one in listed] and not any("key" in one for one in listed)
    assert client.delete(f"/v1/keys/{key['id']}", headers=admin).json()["revoked_at"]
    assert client.get("/v1/videos", headers=bearer(key["key"])).status_code == 401
    lines = [json.loads(line) for line in AuditLog(library.folder).path.read_text().splitlines()]
    made_line = next(line for line in lines if line.get("key") == key["id"])
    assert made_line["what"] == "POST /v1/keys" and made_line["by"] == tokens["admin"].split("_")[1]
    assert not any(token in json.dumps(lines) for token in (key["key"], tokens["admin"]))


# --- the page --------------------------------------------------------------------------------------


def test_the_page_logs_in_by_a_cookie_that_scripts_cannot_read(
    client: TestClient, tokens: dict[str, str]
) -> None:
    client.cookies.clear()
    assert client.get("/").status_code == client.get("/login").status_code == 200
    assert client.get("/login.js").status_code == 200
    assert client.get("/v1/session").json() == {"needs_key": True, "role": None}
    wrong = client.post("/v1/session", json={"key": tokens["read"][:-2]})
    assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
    answer = client.post("/v1/session", json={"key": f" {tokens['read']}\n"})
    assert answer.json() == {"needs_key": True, "role": "read"}
    cookie = answer.headers["set-cookie"]
    assert tokens["read"] in cookie and "Path=/" in cookie
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    assert client.get("/v1/session").json()["role"] == "read"
    assert client.get("/v1/videos").status_code == 200
    assert client.post("/v1/keys", json={"role": "admin"}).status_code == 403
    foreign = client.get("/v1/videos", headers={**bearer("wrong")})
    assert foreign.status_code == 401, "a header counts before the cookie"
    gone = client.delete("/v1/session")
    assert gone.status_code == 204 and "Max-Age=0" in gone.headers["set-cookie"]
    assert client.get("/v1/videos").status_code == 401


@pytest.mark.browser
def test_a_browser_is_asked_for_the_key_and_gets_in(library: Library, tokens: dict[str, str]) -> None:
    """The real page in a real browser: to the form, a wrong key, the right one, and on to the page."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("browser", "the playwright package is not installed")
    app = create_app(library, hosts=None, is_local=False, settings=ServerSettings())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
            page = browser.new_page()
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda line: faults.append(line.text) if "Content Sec" in line.text else None)
            page.goto(address)
            page.wait_for_url(f"{address}/login", timeout=20_000)
            page.fill("#key", "reelseek_wrong")
            page.click("button")
            page.get_by_text("this key is not taken").wait_for(timeout=20_000)
            page.fill("#key", tokens["read"])
            page.click("button")
            page.wait_for_url(f"{address}/", timeout=20_000)
            page.wait_for_timeout(500)
            assert page.url == f"{address}/", "it was let in"
            assert "reelseek_key" not in page.evaluate("document.cookie")
            cookie = next(one for one in page.context.cookies() if one["name"] == "reelseek_key")
            assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
            assert faults == []
            browser.close()
    finally:
        server.should_exit = True
        thread.join(60)


def test_over_https_the_cookie_is_for_https_alone(library: Library, tokens: dict[str, str]) -> None:
    app = create_app(library, hosts=None, is_local=False)
    with TestClient(app, base_url="https://archive.example") as client:
        answer = client.post("/v1/session", json={"key": tokens["read"]})
        assert "Secure" in answer.headers["set-cookie"]


def test_pages_of_others_cannot_use_the_cookie(client: TestClient, tokens: dict[str, str]) -> None:
    client.post("/v1/session", json={"key": tokens["admin"]})
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.delete("/v1/videos/1", headers=headers).status_code == 403
    assert client.delete("/v1/videos/1").status_code == 404, "our own page gets through"
    client.cookies.clear()


def test_wrong_keys_are_slowed_down_and_right_ones_are_not(library: Library, tokens: dict[str, str]) -> None:
    app = create_app(library, hosts=None, is_local=False, settings=ServerSettings())
    with TestClient(app, base_url=SENT_TO) as client:
        answers = [client.get("/v1/videos", headers=bearer(f"wrong{n}")) for n in range(40)]
        assert {answer.status_code for answer in answers} == {401, 429}
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert client.post("/v1/session", json={"key": "wrong"}).status_code == 429
        assert client.get("/v1/videos", headers=bearer(tokens["read"])).status_code == 200


def test_loopback_is_open_unless_keys_are_demanded(library: Library, tokens: dict[str, str]) -> None:
    with TestClient(create_app(library), base_url="http://localhost") as client:
        assert client.get("/v1/videos").status_code == 200
        assert client.get("/v1/session").json() == {"needs_key": False, "role": "admin"}
        assert client.get("/v1/videos", headers=bearer("wrong")).status_code == 401
        refused = client.delete("/v1/videos/1", headers=bearer(tokens["read"]))
        assert refused.status_code == 403, "who shows a key is what it says"
    app = create_app(library, hosts=None, settings=ServerSettings(require_keys=True))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/v1/videos").status_code == 401
        assert client.get("/healthz").status_code == 200


# --- OIDC ------------------------------------------------------------------------------------------


class Issuer:
    """An OpenID Connect issuer on this machine: discovery, JWKS, and tokens of two of its keys."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.asked: list[str] = []
        issuer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = json.dumps(issuer.document(self.path)).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        first = jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True)
        second = jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True)
        return {"keys": [{**first, "kid": "first", "use": "sig"}, {**second, "kid": "second"}]}

    def token(self, key: Any = None, algorithm: str = "RS256", kid: str = "first", **changes: Any) -> str:
        claims = {
            "iss": self.url,
            "aud": "reelseek",
            "sub": "ann@example.org",
            "exp": time.time() + 60,
            "reelseek_role": "write",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key or self.rsa, algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_tokens_of_the_issuer_are_taken_by_their_role(issuer: Issuer, library: Library) -> None:
    settings = ServerSettings(oidc_issuer=issuer.url, oidc_audience="reelseek")
    with TestClient(create_app(library, hosts=None, is_local=False, settings=settings)) as client:
        allowed = client.get("/v1/videos", headers=bearer(issuer.token()))
        assert allowed.status_code == 200, allowed.text
        by_ec = issuer.token(issuer.ec, "ES256", "second", reelseek_role=["read", "other"])
        assert client.get("/v1/videos", headers=bearer(by_ec)).status_code == 200
        assert client.delete("/v1/videos/9", headers=bearer(issuer.token())).status_code == 403
        admin = issuer.token(reelseek_role=["read", "admin"])
        assert client.delete("/v1/videos/9", headers=bearer(admin)).status_code == 404
        assert client.post("/v1/session", json={"key": by_ec}).json()["role"] == "read"
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"], "the keys are asked for once"
    last = json.loads(AuditLog(library.folder).path.read_text().splitlines()[-1])
    assert last["by"] == "oidc:ann@example.org"


def test_other_tokens_are_refused(issuer: Issuer, library: Library) -> None:
    checked = oidc.OidcIssuer(issuer.url, "reelseek", f"{issuer.url}/keys", "reelseek_role")
    assert checked.verify(issuer.token()) == ("ann@example.org", Role.write)
    public = issuer.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    made_with_public_key = hs256(issuer.token(), public)
    stranger = rsa.generate_private_key(65537, 2048)
    for wrong in (
        issuer.token(iss="https://other.example"),
        issuer.token(aud="another service"),
        issuer.token(exp=time.time() - 3600),
        issuer.token(nbf=time.time() + 3600),
        *(issuer.token(**{name: None}) for name in ("iss", "aud", "exp", "sub", "reelseek_role")),
        issuer.token(reelseek_role="owner"),
        issuer.token(reelseek_role={"admin": True}),
        issuer.token(stranger),
        issuer.token(issuer.ec, "ES256", "first"),
        jwt.encode({"sub": "x"}, None, "none"),
        made_with_public_key,
        issuer.token()[:-4] + "AAAA",
        issuer.token(sub="x" * 9000),
        "a.b.c",
    ):
        assert checked.verify(wrong) is None, jwt.get_unverified_header(wrong) if wrong != "a.b.c" else wrong
    nested = oidc.OidcIssuer(issuer.url, "reelseek", f"{issuer.url}/keys", "access.roles")
    assert nested.verify(issuer.token(access={"roles": ["admin"]})) == ("ann@example.org", Role.admin)


def hs256(token: str, secret: bytes) -> str:
    """The token's claims signed with a public key taken for a secret, as a confused verifier would accept."""
    import base64
    import hmac

    def packed(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    header = packed(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "first"}).encode())
    signed = f"{header}.{token.split('.')[1]}"
    return f"{signed}.{packed(hmac.new(secret, signed.encode(), 'sha256').digest())}"


def test_made_up_key_ids_do_not_make_us_ask_the_issuer(issuer: Issuer) -> None:
    checked = oidc.OidcIssuer(issuer.url, "reelseek", f"{issuer.url}/keys", "reelseek_role")
    before = len(issuer.asked)
    refused = [checked.verify(issuer.token(kid=f"made up {number}")) for number in range(20)]
    assert refused == [None] * 20 and len(issuer.asked) - before <= 1


def test_an_issuer_without_an_audience_is_refused_and_one_that_is_away_lets_nobody_in(
    library: Library,
) -> None:
    with pytest.raises(ReelseekError, match="AUDIENCE"):
        create_app(library, is_local=False, settings=ServerSettings(oidc_issuer="https://id.example"))
    away = oidc.OidcIssuer("http://127.0.0.1:9", "reelseek", None, "reelseek_role")
    ours = rsa.generate_private_key(65537, 2048)
    make = partial(jwt.encode, key=ours, algorithm="RS256")
    assert away.verify(make({"iss": "http://127.0.0.1:9", "aud": "reelseek", "sub": "x"})) is None
