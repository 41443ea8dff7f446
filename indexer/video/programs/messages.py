"""Messages between a decoding program and whoever started it, as plain bytes.

The program reads strangers' files, and may have been taken over by one: nothing that comes from it may become
code here, as unpickling would make it. A message is JSON with its arrays and pictures behind it, and is
checked against the types that are expected, field by field, before anything is made of it.

    4 bytes   length of the JSON, little-endian
    JSON      {"kind": name of the type, "value": its fields, "buffers": length of each}
    buffers   one after another
"""

from __future__ import annotations

import functools
import json
import math
import struct
import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.video.making.renditions import Rendition
from indexer.video.types import Damage, Length, Progress, SampledClip, SamplingOptions, VideoInfo

MAX_HEADER_BYTES = 2**22
_LENGTH = struct.Struct("<I")
_DTYPES = ("uint8", "float64")


class MessageError(ValueError):
    """Bytes that are no message of the kinds that may come."""


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """Decode a file to clips; see `DecodeWorker.decode`."""

    path: str
    options: SamplingOptions
    threads: int | None


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """The frame at a time as JPEG; see `DecodeWorker.frame`."""

    path: str
    time_seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """A still picture; see `DecodeWorker.picture`."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Describe the video in a file."""

    path: str


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """Write pieces of a video to a file; see `DecodeWorker.render`."""

    path: str
    target: str
    rendition: Rendition


@dataclass(frozen=True, slots=True)
class StopRequest:
    """The work under way is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A picture as JPEG."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: uint8 (H, W, 3), RGB."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Failure:
    """The request failed: the name of the error's class in `encoders.errors`, and what it says."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more comes of this request."""


Request = DecodeRequest | FrameRequest | PictureRequest | ProbeRequest | RenderRequest | StopRequest
Decoded = VideoInfo | Progress | SampledClip | Damage | Length
Answer = Decoded | Jpeg | Picture | Failure | End


def pack_message(message: Request | Answer) -> bytes:
    """Packs a message into bytes."""
    buffers: list[bytes] = []
    value = _plain(message, buffers)
    header = json.dumps(
        {"kind": type(message).__name__, "value": value, "buffers": [len(one) for one in buffers]}
    ).encode("ascii")
    return b"".join([_LENGTH.pack(len(header)), header, *buffers])


def unpack_request(content: bytes) -> Request:
    """Unpacks a request. Raises MessageError where it is none, whatever is wrong with it."""
    request: Request = _unpack(content, typing.get_args(Request))
    return request


def unpack_answer(content: bytes) -> Answer:
    """Unpacks an answer. Raises MessageError where it is none, whatever is wrong with it."""
    answer: Answer = _unpack(content, typing.get_args(Answer))
    return answer


def _unpack(content: bytes, kinds: tuple[type, ...]) -> Any:
    try:
        (length,) = _LENGTH.unpack_from(content)
        if length > MAX_HEADER_BYTES:
            raise MessageError(
                f"the head of a message has {length} bytes, at most {MAX_HEADER_BYTES} are taken"
            )
        header = json.loads(content[_LENGTH.size : _LENGTH.size + length].decode("ascii"))
        kind = {one.__name__: one for one in kinds}[header["kind"]]
        buffers = _split(memoryview(content)[_LENGTH.size + length :], header["buffers"])
        return _typed(kind, header["value"], buffers)
    except MessageError:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RecursionError,
        struct.error,
    ) as error:
        raise MessageError(f"this is no message ({type(error).__name__}: {error})"[:300]) from None
    except Exception as error:  # a value that its type refuses
        raise MessageError(f"a message holds a value that cannot be ({error})"[:300]) from None


def _plain(value: Any, buffers: list[bytes]) -> Any:
    """A value as JSON holds it; bytes and arrays go into the buffers and leave their number."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), buffers) for field in fields(value)}
    if isinstance(value, np.ndarray):
        buffers.append(np.ascontiguousarray(value).tobytes())
        return {"buffer": len(buffers) - 1, "dtype": value.dtype.name, "shape": list(value.shape)}
    if isinstance(value, bytes):
        buffers.append(value)
        return {"buffer": len(buffers) - 1}
    if isinstance(value, tuple | list):
        return [_plain(one, buffers) for one in value]
    return value


def _split(rest: memoryview, lengths: Any) -> list[memoryview]:
    if not isinstance(lengths, list) or any(type(one) is not int or one < 0 for one in lengths):
        raise MessageError("the lengths of a message's buffers are no lengths")
    if sum(lengths) != len(rest):
        raise MessageError(f"a message has {len(rest)} bytes behind its head, and names {sum(lengths)}")
    ends = np.cumsum(lengths).tolist()
    return [rest[end - length : end] for end, length in zip(ends, lengths, strict=True)]


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(wanted: Any, value: Any, buffers: list[memoryview]) -> Any:
    """The value as the wanted type has it. Raises MessageError where it has not."""
    origin, options = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(wanted, type) and is_dataclass(wanted):
        if not isinstance(value, dict) or set(value) != {field.name for field in fields(wanted)}:
            raise MessageError(f"expected the fields of {wanted.__name__}")
        hints = _hints(wanted)
        return wanted(**{name: _typed(hints[name], one, buffers) for name, one in value.items()})
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in options:
            return None
        (rest,) = [one for one in options if one is not type(None)]
        return _typed(rest, value, buffers)
    if origin is Literal:
        if value not in options:
            raise MessageError(f"expected one of {options}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise MessageError("expected a list")
        if options[-1] is Ellipsis:
            return tuple(_typed(options[0], one, buffers) for one in value)
        return tuple(_typed(kind, one, buffers) for kind, one in zip(options, value, strict=True))
    if origin is np.ndarray:
        return _array(wanted, value, buffers)
    if wanted is bytes:
        return bytes(buffers[_number(value["buffer"])])
    if wanted is float:
        if type(value) not in (int, float):
            raise MessageError(f"expected a number, got {type(value).__name__}")
        return float(value)
    if type(value) is not wanted:
        raise MessageError(f"expected {wanted}, got {type(value).__name__}")
    return value


def _array(wanted: Any, value: Any, buffers: list[memoryview]) -> NDArray[Any]:
    (dtype,) = typing.get_args(typing.get_args(wanted)[1])
    shape = [_number(one) for one in value["shape"]]
    if value["dtype"] not in _DTYPES or np.dtype(value["dtype"]) != np.dtype(dtype):
        raise MessageError(f"expected an array of {np.dtype(dtype)}")
    buffer = buffers[_number(value["buffer"])]
    if len(shape) > 4 or math.prod(shape) * np.dtype(dtype).itemsize != len(buffer):
        raise MessageError(f"an array of shape {shape[:5]} does not fill its {len(buffer)} bytes")
    return np.frombuffer(buffer, dtype).reshape(shape)


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise MessageError("expected a number from 0 on")
    return value
