"""The catalog's tables. The schema itself is built by the migrations in `alembic/`."""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import (
    INTEGER,
    TEXT,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives ids to INTEGER keys only, and never reuses one only with AUTOINCREMENT. A clip id
# that came back with other content would make a saved index lie.
Id = BigInteger().with_variant(INTEGER(), "sqlite")
# Byte order makes a path prefix a range of the index on both engines.
Path = Text().with_variant(TEXT(collation="C"), "postgresql")
Word = Text().with_variant(TEXT(collation="C"), "postgresql")


def checksum(*parts: bytes | None) -> int | None:
    """Computes the CRC-32 of stored bytes, 0..2**32 - 1, which tells any one changed bit; None for none."""
    if None in parts:
        return None
    return zlib.crc32(b"".join(part for part in parts if part is not None))


def _checksum_column(*names: str) -> Column[int]:
    """Made with the row from what stands in some of its columns; who changes those sets it as well."""

    def make(context: Any) -> int | None:
        given = context.get_current_parameters()
        return checksum(*(given.get(name) for name in names))

    return Column("crc32", BigInteger, default=make)


library = Table(
    "library",
    metadata,
    Column("id", Integer, primary_key=True),
    # Tells catalogs apart, so that a saved index is never read beside another one's rows.
    Column("catalog_id", Text, nullable=False),
    Column("encoder_spec", Text, nullable=False),
    Column("encoder_id", Text, nullable=False),
    Column("pooling", Text, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("sampling", Text, nullable=False),
    # Bumped by every transaction that shows or hides clips; an index is as new as its revision.
    Column("revision", BigInteger, nullable=False),
    # Bumped by those that show and hide none, but change what a filter lets through: paths, times of
    # recording, heads, segments, captions.
    Column("filter_revision", BigInteger, nullable=False, server_default="0"),
    # How many clips are visible: counting them reads an index of all.
    Column("clip_count", BigInteger, nullable=False, server_default="0"),
    # float16 (N, D): unrelated texts, to tell a real match from this library's background.
    Column("background", LargeBinary),
    Column("created_at", Double, nullable=False),
    _checksum_column("background"),
)

videos = Table(
    "videos",
    metadata,
    Column("id", Id, primary_key=True),
    Column("path", Path, nullable=False),
    Column("digest", Text, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("duration_seconds", Double),
    Column("width", Integer),
    Column("height", Integer),
    Column("average_fps", Double),
    Column("codec", Text),
    Column("status", Text, nullable=False, index=True),
    Column("error", Text),
    Column("sampling", Text),
    Column("updated_at", Double, nullable=False),
    # Seconds since 1970: as the container says, else when the file was last changed.
    Column("recorded_at", Double, index=True),
    # How many clips it was published with: without it, nobody would miss the last ones.
    Column("clip_count", Integer),
    # The path as `path_key` spells it: what people type is compared with this.
    Column("path_key", Path, index=True),
    # When the file's inode last changed: a file that took its place has another. NULL: not known yet.
    Column("ctime_ns", BigInteger),
    # Of the file's first frame, as editors count: "01:00:00;00", with a semicolon for drop-frame.
    Column("timecode", Text),
    # How far the clock where it was recorded was ahead of UTC. NULL: not known.
    Column("recorded_offset_seconds", Integer),
    # The lowest rate of which all its frames' times are whole numbers, as the container has it or FFmpeg
    # guesses: above the mean where frames do not come evenly.
    Column("base_fps", Double),
    sqlite_autoincrement=True,
)
# A video being ingested has a row of its own beside the one that it will replace.
Index(
    "ux_videos_path",
    videos.c.path,
    unique=True,
    sqlite_where=text("status <> 'staging'"),
)

clips = Table(
    "clips",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start_seconds", Double, nullable=False),
    Column("end_seconds", Double, nullable=False),
    # NULL while the video is being ingested: such a clip is visible to nobody.
    Column("revision", BigInteger, index=True),
    Index("ix_clips_video_id_ordinal", "video_id", "ordinal"),
    sqlite_autoincrement=True,
)

clip_vectors = Table(
    "clip_vectors",
    metadata,
    Column(
        "clip_id",
        Id,
        ForeignKey("clips.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    # In this order, so that reading embeddings does not touch the larger features after them.
    Column("embedding", LargeBinary, nullable=False),
    Column("times", LargeBinary, nullable=False),
    Column("features", LargeBinary, nullable=False),
    _checksum_column("embedding", "times", "features"),
)

key_frames = Table(
    "key_frames",
    metadata,
    Column("id", Id, primary_key=True),
    Column("clip_id", Id, ForeignKey("clips.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("time_seconds", Double, nullable=False),
    Column("jpeg", LargeBinary, nullable=False),
    _checksum_column("jpeg"),
    sqlite_autoincrement=True,
)

removed_clips = Table(
    "removed_clips",
    metadata,
    Column("clip_id", Id, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False, index=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False, index=True),
    Column("request", Text, nullable=False),
    Column("progress", Text),
    Column("result", Text),
    Column("error", Text),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
)

heads = Table(
    "heads",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    # A taught head is called like its action, others like what they are ("kinetics:mvit_v2_s").
    Column("name", Text, nullable=False),
    # A head that is still tagging the library stands beside the one that it will replace.
    Column("is_active", Boolean, nullable=False),
    Column("encoder_id", Text, nullable=False),
    Column("actions", Text, nullable=False),
    # The confidence from which its segments count where nobody asks for another.
    Column("threshold", Double, nullable=False),
    Column("card", Text, nullable=False),
    # safetensors; NULL for a backbone, which keeps its weights elsewhere.
    Column("parameters", LargeBinary),
    Column("created_at", Double, nullable=False),
    _checksum_column("parameters"),
    sqlite_autoincrement=True,
)
Index(
    "ux_heads_name",
    heads.c.name,
    unique=True,
    sqlite_where=text("is_active"),
)

segments = Table(
    "segments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id", ondelete="CASCADE"), nullable=False),
    Column("head_id", Id, ForeignKey("heads.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("action", Text, nullable=False),
    Column("start_seconds", Double, nullable=False),
    Column("end_seconds", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Index("ix_segments_video_id_start_seconds", "video_id", "start_seconds"),
    # With all that tells which clips show an action.
    Index(
        "ix_segments_action_head_id_confidence",
        *("action", "head_id", "confidence", "video_id", "start_seconds", "end_seconds"),
    ),
    sqlite_autoincrement=True,
)

action_examples = Table(
    "action_examples",
    metadata,
    Column("id", Id, primary_key=True),
    Column("action", Text, nullable=False, index=True),
    Column("is_positive", Boolean, nullable=False),
    Column("origin", Text, nullable=False),
    Column("source", Text, nullable=False),
    # A span of a catalogued video, which goes with it; or a track of features of its own.
    Column("video_id", Id, ForeignKey("videos.id", ondelete="CASCADE"), index=True),
    Column("start_seconds", Double),
    Column("end_seconds", Double),
    Column("track", LargeBinary),
    Column("created_at", Double, nullable=False),
    _checksum_column("track"),
    sqlite_autoincrement=True,
)

captions = Table(
    "captions",
    metadata,
    Column(
        "key_frame_id",
        Id,
        ForeignKey("key_frames.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("text", Text, nullable=False),
    # The captioner's id: another one's captions take the place of these.
    Column("model", Text, nullable=False),
)

# A row for each different word of a caption: the same index for whole words on both engines.
caption_words = Table(
    "caption_words",
    metadata,
    Column("word", Word, primary_key=True),
    # The key frame's own, so that clips are found without a look at key frames and their pictures.
    Column("clip_id", Id, primary_key=True, autoincrement=False),
    Column(
        "key_frame_id",
        Id,
        ForeignKey("captions.key_frame_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        index=True,
    ),
    sqlite_with_rowid=False,
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    # SHA-256 of the key, which is itself stored nowhere.
    Column("digest", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

# What has a checksum, and of which columns.
CHECKED: dict[Table, tuple[str, ...]] = {
    library: ("background",),
    clip_vectors: ("embedding", "times", "features"),
    key_frames: ("jpeg",),
    heads: ("parameters",),
    action_examples: ("track",),
}
