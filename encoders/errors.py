"""Every error that Reelseek raises on purpose.

    ReelseekError
    ├── EncoderError
    │   ├── EncoderUnavailableError     weights or package not to be had here
    │   ├── EncoderMismatchError        vectors of another encoder than the library's
    │   ├── UnsupportedQueryError       e.g. text for an encoder without a text tower
    │   ├── TeachingError               examples from which an action cannot be learned
    │   ├── HeadFileError               a file that holds no head, or not such a one
    │   └── RunBusyError                another training is writing to the same folder
    ├── DecodeError                     a file that cannot be read as video
    │   ├── NotAVideoError              holds no video stream (text, audio)
    │   │   └── StillPictureError       holds a picture that does not move
    │   ├── DamagedVideoError           truncated or broken
    │   ├── DecoderDiedError            crashed, hung or ran out of memory
    │   └── TookTooLongError            costs far more than others of its size and length
    ├── LibraryError
    │   ├── LibraryNotFoundError        nothing has been indexed here yet
    │   ├── LibraryBusyError            another process is writing
    │   ├── CatalogUnavailableError     the catalog cannot be reached, or is damaged
    │   ├── SchemaError                 catalog newer than this program, or not ours
    │   ├── BackupError                 a backup that is incomplete, damaged or of something else
    │   └── IndexFileError              the index cache is broken (it can be rebuilt)
    ├── NotFoundError                   no such video, clip, frame or job
    │   └── UnknownActionError          an action that no head knows
    ├── InvalidQueryError               a query or filter that makes no sense
    ├── BudgetError                     a question whose answer takes too much work
    └── AbandonedError                  work that nobody waits for any more

A message says what was got, what was expected and what to do next. The lower layers know no HTTP;
`api/` maps a class to a status in one table.
"""


class ReelseekError(Exception):
    """Root of every error raised on purpose; `str(error)` is fit to show to a user."""


class EncoderError(ReelseekError):
    """An encoder could not do what was asked."""


class EncoderUnavailableError(EncoderError):
    """Weights, architecture or package cannot be had on this machine."""


class EncoderMismatchError(EncoderError):
    """Vectors come from another encoder than the one that the library was made with."""


class UnsupportedQueryError(EncoderError):
    """The encoder has no way to encode this kind of query."""


class TeachingError(EncoderError):
    """An action cannot be learned from these examples."""


class HeadFileError(EncoderError):
    """The file holds no head, a damaged one, or one of another kind or version."""


class RunBusyError(EncoderError):
    """Another training is writing to the same folder."""


class DecodeError(ReelseekError):
    """A file could not be decoded."""


class NotAVideoError(DecodeError):
    """The file holds no video stream."""


class StillPictureError(NotAVideoError):
    """The file holds a still picture where footage is expected."""


class DamagedVideoError(DecodeError):
    """The file is truncated or its stream is broken."""


class DecoderDiedError(DecodeError):
    """The decoding process crashed, made no progress or ran out of memory."""


class TookTooLongError(DecodeError):
    """Decoding costs far more than that of other files of this size and length."""


class LibraryError(ReelseekError):
    """The library on disk cannot be used as asked."""


class LibraryNotFoundError(LibraryError):
    """There is no library at this place."""


class LibraryBusyError(LibraryError):
    """Another process holds the library's write lock."""


class CatalogUnavailableError(LibraryError):
    """The catalog's database cannot be reached, or its file is damaged. Names hosts, users and paths."""


class SchemaError(LibraryError):
    """The catalog's schema is not one that this program knows."""


class BackupError(LibraryError):
    """A backup is incomplete, damaged, or of something else."""


class IndexFileError(LibraryError):
    """The saved vector index cannot be read or does not fit the catalog."""


class NotFoundError(ReelseekError):
    """The thing that was asked for does not exist (any more)."""


class UnknownActionError(NotFoundError):
    """No head knows the action, and none was taught it."""


class InvalidQueryError(ReelseekError):
    """A query or filter contradicts itself or is out of range."""


class BudgetError(ReelseekError):
    """Answering takes more work than one question may cause."""


class AbandonedError(ReelseekError):
    """Work was given up, as nobody waits for its outcome any more."""
