"""What the clients of the load ask, how they check the answers, and what they write down."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.made_videos import Piece
from benchmarks.oracle import Asked, Oracle
from encoders.words.things import Things
from search.types import Clip

TIMEOUT_SECONDS = 60.0
KEEP_ALIVE_SECONDS = 3.0  # shorter than the server's, so that no request meets a closing connection
LIMIT = 10
MOST_FAULTS = 200


@dataclass(slots=True)
class Record:
    """What happened: milliseconds by kind of request, faults, how often the server was too busy."""

    times_ms: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    checked: int = 0
    too_many: int = 0
    server_errors: int = 0
    transport_errors: int = 0

    def fault(self, kind: str, what: str) -> None:
        """Writes down something that must not be."""
        self.fault_count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"{kind}: {what}")


@dataclass(frozen=True, slots=True)
class Example:
    """A file to upload: its vectors for the oracle; footage also knows what it shows."""

    content: bytes
    name: str
    vectors: np.ndarray
    piece: Piece | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What there is to ask with."""

    oracle: Oracle
    texts: dict[str, np.ndarray]
    common: list[str]
    examples: list[Example]
    pieces: dict[str, Piece]
    folders: list[str]
    action: str
    showing: Callable[[Clip], bool | None]
    page_files: list[str]
    things: dict[str, Things]


class Client:
    """One client: asks for something, waits a moment, asks for something else.

    Args:
        address: Of the server.
        material: What to ask with; shared by all clients.
        record: Where to write down what happens; shared too.
        seed: Of what it chooses.
    """

    def __init__(self, address: str, material: Material, record: Record, seed: int) -> None:
        self._http = httpx.AsyncClient(
            base_url=address,
            timeout=TIMEOUT_SECONDS,
            verify=False,  # plain HTTP: nothing to verify, and no certificates to load
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
        )
        self._of = material
        self._record = record
        self._random = np.random.default_rng(seed)
        self._kinds: dict[str, tuple[Callable[[], Awaitable[None]], float]] = {
            "search by words": (self._words, 14),
            "search like a clip": (self._like, 8),
            "search with filters": (self._filtered, 10),
            "search with an action": (self._with_action, 4),
            "search, one hit a video": (self._by_video, 4),
            "search by picture": (self._picture, 3),
            "search by footage": (self._footage, 3),
            "matches in a video": (self._matches, 3),
            "frame": (self._frame, 10),
            "key frame": (self._key_frame, 12),
            "preview of a clip": (self._preview, 4),
            "storyboard": (self._storyboard, 4),
            "sprites": (self._sprites, 3),
            "timeline": (self._timeline, 6),
            "file by Range": (self._range, 4),
            "lists": (self._lists, 6),
            "page": (self._page, 6),
            "status and jobs": (self._status, 4),
        }

    async def run(self, until: float, think_seconds: float) -> None:
        """Asks until a time of `time.monotonic`, with pauses of `think_seconds` on average."""
        names = list(self._kinds)
        weights = np.array([weight for _, weight in self._kinds.values()])
        async with self._http:
            while time.monotonic() < until:
                kind = names[self._random.choice(len(names), p=weights / weights.sum())]
                try:
                    await self._kinds[kind][0]()
                except Exception as error:  # whatever an answer looks like, it is one more fault
                    self._record.fault(kind, f"{type(error).__name__}: {error}")
                await asyncio.sleep(float(self._random.exponential(think_seconds)))

    # --- one request -----------------------------------------------------------------------

    async def request(
        self, kind: str, method: str, url: str, video_id: int | None = None, **options: Any
    ) -> tuple[httpx.Response | None, float, float]:
        """The answer if it is a good one, and when it was asked for and came."""
        sent = time.monotonic()
        try:
            answer = await self._http.request(method, url, **options)
        except httpx.HTTPError as error:
            self._record.transport_errors += 1
            self._record.fault(kind, f"{type(error).__name__}: {error}")
            return None, sent, time.monotonic()
        received = time.monotonic()
        self._record.times_ms.setdefault(kind, []).append((received - sent) * 1000)
        self._record.statuses[str(answer.status_code)] += 1
        if answer.status_code == 429:
            self._record.too_many += 1
            return None, sent, received
        if answer.is_success:
            return answer, sent, received
        self._record.server_errors += answer.status_code >= 500
        gone = video_id is not None and self._of.oracle.is_going(video_id, received)
        if not (answer.status_code == 404 and gone):
            self._record.fault(kind, f"{method} {url}: {answer.status_code} {answer.text[:300]}")
        return None, sent, received

    async def _get(self, kind: str, url: str, video_id: int | None, media_type: str, start: bytes) -> None:
        """Asks for something that is of a media type and starts with some bytes."""
        answer, _, _ = await self.request(kind, "GET", url, video_id)
        if answer is None:
            return
        self._record.checked += 1
        if not answer.headers["content-type"].startswith(media_type) or start not in answer.content[:16]:
            self._record.fault(kind, f"{url}: {answer.headers['content-type']}, {answer.content[:16]!r}")

    def _pick(self, choices: Any) -> Any:
        return choices[int(self._random.integers(len(choices)))]

    def _clip(self) -> Clip:
        return self._pick(self._of.oracle.clips())

    def _text(self) -> tuple[str, np.ndarray]:
        """Words and their vector: half the time such as others ask for too."""
        text = self._pick(self._of.common if self._random.random() < 0.5 else list(self._of.texts))
        return text, self._of.texts[text]

    # --- searches --------------------------------------------------------------------------

    async def _search(
        self, kind: str, asked: Asked, parts: list[dict[str, Any]], video_id: int | None = None, **more: Any
    ) -> None:
        body = {"query": parts, "limit": asked.limit, **more}
        answer, sent, received = await self.request(kind, "POST", "/v1/search", video_id, json=body)
        if answer is not None:
            await self._judge(kind, answer, asked, sent, received, json.dumps(body))

    async def _judge(
        self, kind: str, answer: httpx.Response, asked: Asked, sent: float, received: float, what: str
    ) -> dict[str, Any]:
        document: dict[str, Any] = answer.json()
        # In a thread, so that the other clients' times are the server's and not ours.
        faults = await asyncio.to_thread(self._of.oracle.check, document, asked, sent, received)
        self._record.checked += 1
        for fault in faults[:3]:
            self._record.fault(kind, f"{fault} ({what})")
        return document

    async def _words(self) -> None:
        text, vector = self._text()
        asked = Asked(vector[None], self._pick((LIMIT, 50)), things=self._of.things.get(text))
        await self._search("search by words", asked, [{"text": text}])

    async def _like(self) -> None:
        clip = self._clip()
        vector = self._of.oracle.vector(clip.id)
        part: dict[str, Any] = {"clip_id": clip.id}
        asked = Asked(vector[None], LIMIT, excluded=frozenset({clip.id}))
        parts = [part]
        if self._random.random() < 0.5:
            text, words = self._text()
            mixed = vector - 0.4 * words
            asked = replace(asked, vectors=(mixed / np.linalg.norm(mixed))[None])
            parts = [part, {"text": text, "weight": -0.4}]
        await self._search("search like a clip", asked, parts, clip.video_id)

    async def _filtered(self) -> None:
        text, vector = self._text()
        which = int(self._random.integers(3))
        if which == 0:
            folder = self._pick(self._of.folders)
            filters: dict[str, Any] = {"path_prefix": folder}
            passes: Callable[[Clip], bool | None] = lambda clip: clip.path.startswith(folder)  # noqa: E731
        elif which == 1:
            filters = {"min_duration_seconds": 0.7, "max_duration_seconds": 0.95}
            passes = lambda clip: 0.7 <= clip.end_seconds - clip.start_seconds <= 0.95  # noqa: E731
        else:
            videos = {self._clip().video_id for _ in range(5)}
            filters = {"video_ids": sorted(videos)}
            passes = lambda clip: clip.video_id in videos  # noqa: E731
        await self._search(
            "search with filters",
            Asked(vector[None], LIMIT, passes=passes, things=self._of.things.get(text)),
            [{"text": text}],
            filters=filters,
        )

    async def _with_action(self) -> None:
        text, vector = self._text()
        things = self._of.things.get(text)
        asked = Asked(vector[None], LIMIT, passes=self._of.showing, action=self._of.action, things=things)
        filters = {"action": self._of.action}
        await self._search("search with an action", asked, [{"text": text}], filters=filters)

    async def _by_video(self) -> None:
        text, vector = self._text()
        asked = Asked(vector[None], LIMIT, by_video=True, things=self._of.things.get(text))
        await self._search("search, one hit a video", asked, [{"text": text}], group_by="video")

    async def _upload(self, kind: str, example: Example, asked: Asked) -> dict[str, Any] | None:
        files = {"file": (example.name, example.content)}
        options = {"options": json.dumps({"limit": asked.limit})}
        answer, sent, received = await self.request(
            kind, "POST", "/v1/search/example", files=files, data=options
        )
        if answer is None:
            return None
        return await self._judge(kind, answer, asked, sent, received, example.name)

    async def _picture(self) -> None:
        example = self._pick([one for one in self._of.examples if one.piece is None])
        await self._upload("search by picture", example, Asked(example.vectors, LIMIT))

    async def _footage(self) -> None:
        kind = "search by footage"
        example = self._pick([one for one in self._of.examples if one.piece is not None])
        document = await self._upload(kind, example, Asked(example.vectors, LIMIT, aligned=True))
        if document is None or example.piece is None:
            return
        first = document["hits"][0]
        shown, wanted = self._of.pieces[Path(first["path"]).name], example.piece
        start, end = (shown.start_seconds + first[name] for name in ("start_seconds", "end_seconds"))
        if shown.source != wanted.source or start >= wanted.end_seconds or end <= wanted.start_seconds:
            what = f"{shown.source} {start:.1f}-{end:.1f} s, score {first['score']:.2f}"
            asked = f"{wanted.source} {wanted.start_seconds:.1f}-{wanted.end_seconds:.1f} s"
            self._record.fault(kind, f"{example.name} shows {asked}, the first hit {what}")

    async def _matches(self) -> None:
        clip, (text, _) = self._clip(), self._text()
        url, body = f"/v1/videos/{clip.video_id}/matches", {"query": [{"text": text}]}
        answer, _, _ = await self.request("matches in a video", "POST", url, clip.video_id, json=body)
        if answer is not None:
            document = answer.json()
            # A video that is forgotten between two looks at the catalog has no frames any more.
            going = self._of.oracle.is_going(clip.video_id, time.monotonic())
            if document["video_id"] != clip.video_id or not (document["scores"] or going):
                self._record.fault("matches in a video", str(document)[:300])
            self._record.checked += 1

    # --- pictures, footage, lists ----------------------------------------------------------

    async def _frame(self) -> None:
        clip = self._clip()
        # Times that come again, as those of key frames do.
        url = f"/v1/frames/{clip.video_id}?t={clip.start_seconds:.2f}&size=240"
        await self._get("frame", url, clip.video_id, "image/jpeg", b"\xff\xd8")

    async def _key_frame(self) -> None:
        clip = self._clip()
        url = f"/v1/videos/{clip.video_id}/key-frames"
        answer, _, _ = await self.request("key frames of a video", "GET", url, clip.video_id)
        for frame in [] if answer is None else answer.json()["key_frames"][:2]:
            await self._get("key frame", frame["url"], clip.video_id, "image/jpeg", b"\xff\xd8")

    async def _preview(self) -> None:
        clip = self._clip()
        url = f"/v1/clips/{clip.id}/preview"
        await self._get("preview of a clip", url, clip.video_id, "video/mp4", b"ftyp")

    async def _storyboard(self) -> None:
        clip = self._clip()
        url = f"/v1/videos/{clip.video_id}/storyboard?max=4"
        await self._get("storyboard", url, clip.video_id, "image/jpeg", b"\xff\xd8")

    async def _sprites(self) -> None:
        video_id = self._clip().video_id
        url = f"/v1/videos/{video_id}/sprites"
        await self._get("sprites", f"{url}.vtt", video_id, "text/vtt", b"WEBVTT")
        await self._get("sprites", f"{url}.jpg", video_id, "image/jpeg", b"\xff\xd8")

    async def _timeline(self) -> None:
        clip = self._clip()
        url = f"/v1/videos/{clip.video_id}/timeline"
        answer, _, _ = await self.request("timeline", "GET", url, clip.video_id)
        if answer is not None:
            document = answer.json()
            if document["video_id"] != clip.video_id or document["duration_seconds"] < clip.end_seconds - 0.2:
                self._record.fault("timeline", str(document)[:300])
            self._record.checked += 1

    async def _range(self) -> None:
        clip = self._clip()
        url, headers = f"/v1/videos/{clip.video_id}/file", {"Range": "bytes=100-1099"}
        answer, _, _ = await self.request("file by Range", "GET", url, clip.video_id, headers=headers)
        if answer is not None:
            expected = await asyncio.to_thread(lambda: Path(clip.path).read_bytes()[100:1100])
            if answer.status_code != 206 or answer.content != expected:
                self._record.fault("file by Range", f"{answer.status_code}, {len(answer.content)} bytes")
            self._record.checked += 1

    async def _lists(self) -> None:
        url = self._pick(
            ("/v1/videos?limit=20", "/v1/clips?limit=20", f"/v1/segments?action={self._of.action}")
        )
        answer, sent, _ = await self.request("lists", "GET", url)
        if answer is None:
            return
        document = answer.json()
        rows = next(document[name] for name in ("videos", "clips", "segments") if name in document)
        ids = [row["id"] if "id" in row else row["video_id"] for row in rows]
        gone = {number for number, at in list(self._of.oracle.acknowledged_at.items()) if at < sent}
        if gone & set(ids):
            self._record.fault("lists", f"{url} names {sorted(gone & set(ids))}, which were deleted before")
        self._record.checked += 1

    async def _page(self) -> None:
        await self._get("page", "/", None, "text/html", b"<!doctype html")
        await self._get("page", f"/{self._pick(self._of.page_files)}", None, "text/", b"")

    async def _status(self) -> None:
        for url in ("/v1/status", "/v1/jobs?limit=5", "/v1/actions", "/readyz", "/metrics"):
            answer, _, _ = await self.request("status and jobs", "GET", url)
            self._record.checked += answer is not None
