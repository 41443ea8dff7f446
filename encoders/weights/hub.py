"""The model hub, asked in such a way that nothing waits long for an answer.

Left to itself a loader takes most of a minute to give up when the hub is out of reach. So we look
into the local cache first, ask the hub one question with a time limit, and load without network
whatever is in the cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import first_line
from encoders.weights.quiet import quiet_loading

HUB_TIMEOUT_SECONDS = 3.0
Loaded = TypeVar("Loaded")
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def hub_url() -> str:
    """The hub's address: `HF_ENDPOINT`, or the public one."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def hub_answers(timeout_seconds: float = HUB_TIMEOUT_SECONDS) -> bool:
    """Checks that the hub answers within the limit; name resolution and proxies included.

    The question is asked on a thread of its own, because a hanging name server ignores the time
    limits of a socket.
    """
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            request = Request(constants.ENDPOINT, method="HEAD")
            with urlopen(request, timeout=timeout_seconds):
                answered.set()
        except (OSError, ValueError):  # refused, too late, no such host, no URL
            pass
        finally:
            finished.set()

    finished = threading.Event()
    threading.Thread(target=ask, name="hub-probe", daemon=True).start()
    finished.wait(timeout_seconds)
    return answered.is_set()


def cached_file(repository: str, names: Sequence[str] = WEIGHT_FILES) -> Path | None:
    """The first of these files of a hub repository that the local cache holds."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str) and Path(found).is_file():
            return Path(found)
    return None


def download_file(repository: str, names: Sequence[str] = WEIGHT_FILES) -> Path:
    """Downloads the first of these files that the repository has into the local cache.

    Raises:
        OSError: The hub has none of them, or broke off.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in names[:-1]:
        try:
            return Path(hf_hub_download(repository, name))
        except EntryNotFoundError:
            continue
    return Path(hf_hub_download(repository, names[-1]))


def cached_or_downloaded(repository: str, names: Sequence[str], what: str, otherwise: str) -> Path:
    """The first of these files that the local cache, or else the hub, holds.

    Args:
        repository: "<org>/<name>".
        names: Of the files, the best first.
        what: It is, to people: "the weights".
        otherwise: What they can do without the hub.

    Raises:
        EncoderUnavailableError: Neither has it, or the hub does not answer in time.
    """
    found = cached_file(repository, names)
    if found is not None:
        return found
    if not hub_answers():
        raise EncoderUnavailableError(
            f"{what} {repository} cannot be found in the local cache, and {hub_url()} does not answer; "
            f"connect to it once, {otherwise}"
        )
    try:
        with quiet_loading():
            return download_file(repository, names)
    except Exception as error:  # the network's own kinds, and "no such repository"
        raise EncoderUnavailableError(
            f"{what} {repository} cannot be downloaded from {hub_url()}: {first_line(error)}; "
            "check the name, or try again"
        ) from error


@contextmanager
def without_network() -> Iterator[None]:
    """Libraries of the hub see only the local cache."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def from_cache_or_hub(
    load: Callable[[], Loaded], what: str, otherwise: str = "or choose the encoder `offline`"
) -> Loaded:
    """Loads from the local cache alone; goes to the hub only for what is not there.

    Args:
        load: Raises one of the hub's own errors where a file is missing; others pass.
        what: It loads, to people, in the plural.
        otherwise: What they can do without the hub.

    Raises:
        EncoderUnavailableError: Something is not in the cache, and the hub does not answer in time.
    """
    with quiet_loading():
        try:
            with without_network():
                return load()
        except Exception as error:
            if not _is_missing_file(error):
                raise
        if not hub_answers():
            raise EncoderUnavailableError(
                f"{what} are not in the local cache, and {hub_url()} does not answer; connect to "
                f"it once, {otherwise}"
            )
        return load()


def _is_missing_file(error: BaseException) -> bool:
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    link: BaseException | None = error
    for _ in range(10):
        if link is None:
            break
        if isinstance(link, LocalEntryNotFoundError | OfflineModeIsEnabled):
            return True
        link = link.__cause__ or link.__context__
    return False
