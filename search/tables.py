"""The catalog's tables. The schema itself is built by the migrations in `alembic/`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
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
from sqlalchemy.dialects import postgresql, sqlite

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives ids to INTEGER keys only, and never reuses one only with AUTOINCREMENT. A clip id
# that came back with other content would make a saved index lie.
Id = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
# Byte order makes a path prefix a range of the index on both engines.
Path = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

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
    # float16 (N, D): unrelated texts, to tell a real match from this library's background.
    Column("background", LargeBinary),
    Column("created_at", Double, nullable=False),
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
    sqlite_autoincrement=True,
)
# A video being ingested has a row of its own beside the one that it will replace.
Index(
    "ux_videos_path",
    videos.c.path,
    unique=True,
    sqlite_where=text("status <> 'staging'"),
    postgresql_where=text("status <> 'staging'"),
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
)

key_frames = Table(
    "key_frames",
    metadata,
    Column("id", Id, primary_key=True),
    Column("clip_id", Id, ForeignKey("clips.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("time_seconds", Double, nullable=False),
    Column("jpeg", LargeBinary, nullable=False),
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
