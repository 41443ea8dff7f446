"""The catalog: every SQL statement of Reelseek, over one connection that the caller commits."""

from __future__ import annotations

from sqlalchemy import Connection

from search.catalog.actions.catalog import ActionCatalog
from search.catalog.captions import CaptionCatalog
from search.catalog.clips.clips import ClipCatalog
from search.catalog.clips.filtered import FilterCatalog
from search.catalog.clips.vectors import VectorCatalog
from search.catalog.clips.views import ViewCatalog
from search.catalog.jobs import JobCatalog
from search.catalog.publishing import PublishingCatalog


class Catalog(PublishingCatalog, ClipCatalog, VectorCatalog, JobCatalog):
    """Reads and writes the catalog; never commits (see `Database.read` and `Database.write`).

    Its statements are written by subject: the library's row, videos published and found, clips, their
    vectors, jobs; actions and captions are catalogs of their own over the same connection.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.actions = ActionCatalog(connection)
        self.captions = CaptionCatalog(connection)
        self.views = ViewCatalog(connection)
        self.filters = FilterCatalog(connection)
