"""The sound of a film, read at the places where its pictures are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from encoders.errors import DecodeError
from indexer.video.engine import AudioResampler, EngineError
from indexer.video.reading.clock_map import ClockMap
from indexer.video.reading.decode import VideoDecoder

_SAMPLES = 1024  # of one chunk, as of one AAC frame
_SOUND_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # of AAC
_SLACK_SECONDS = 0.03  # by which a sound frame may miss its place before silence or a cut mends it
_SEEK_BACK_SECONDS = 0.5
_INTERLEAVED_SECONDS = 1.5  # by which sound may lie before its pictures in a file
_SEAM_SECONDS = 0.5
_BROKEN_IN_A_ROW = 64


class SoundReader:
    """The sound that goes with a film, stereo, at the places where its pictures are; a context manager.

    Args:
        decoder: Of the film; it is not read.
        spans: Of which the sound is wanted, start and end in seconds.

    Attributes:
        rate: Samples per second; None where there is no sound that can be decoded.
    """

    def __init__(self, decoder: VideoDecoder, spans: Iterable[tuple[float, float]]) -> None:
        self.rate: int | None = None
        self._container: Any = None
        self._stream: Any = None
        self._part = -1
        self._file, self._timeline = decoder.file, decoder.timeline
        self._offset = decoder.offset_seconds
        # Of joined files, the first in the spans that has sound tells.
        numbers = dict.fromkeys(
            number for span in spans for number, *_ in decoder.timeline.parts_shown(*span)
        )
        stream = next(filter(None, map(self._open_part, numbers)), None)
        if stream is not None:
            own = stream.codec_context.sample_rate
            self.rate = own if own in _SOUND_RATES else 48_000

    def _open_part(self, number: int) -> Any:
        """Opens one of several joined files, or the one; returns its sound, None where it has none."""
        if self._container is not None:
            self._container.close()
        self._part = number
        self._stream = None
        with suppress(EngineError, UnicodeError, ValueError, MemoryError, LookupError, DecodeError):
            self._container = self._file.open_part(number)
            # Of the film's own programme, where there are several.
            film = self._file.film_stream(self._container, number)
            stream = self._container.streams.best("audio", related=film)
            if stream is not None and stream.codec_context is not None:
                self._stream = stream
        return self._stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            self._container.close()

    def chunks(self, start_seconds: float, end_seconds: float) -> Iterator[NDArray[np.float32]]:
        """The sound of [start, end), float32 (2, 1024) at a time; silence where there is none."""
        assert self.rate is not None
        total, done = round((end_seconds - start_seconds) * self.rate), 0
        held = np.zeros((2, 0), np.float32)
        for place, samples in self._placed(start_seconds, end_seconds):
            gap = place - done - held.shape[1]
            if gap > _SLACK_SECONDS * self.rate:
                silence = np.zeros((2, min(gap, total - done - held.shape[1])), np.float32)
                held = np.concatenate([held, silence], axis=1)
            elif -gap > _SLACK_SECONDS * self.rate or place < 0:
                samples = samples[:, max(0, -gap) :]
            held = np.concatenate([held, samples], axis=1)[:, : total - done]
            while held.shape[1] >= _SAMPLES:
                yield held[:, :_SAMPLES]
                held, done = held[:, _SAMPLES:], done + _SAMPLES
        while done < total:
            short = min(_SAMPLES, total - done)
            yield np.pad(held[:, :short], ((0, 0), (0, max(0, short - held.shape[1]))))
            held, done = held[:, short:], done + short

    def _placed(self, start_seconds: float, end_seconds: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Decoded samples with the place of the first, counted from the start of the span."""
        for number, shift, until in self._timeline.parts_shown(start_seconds, end_seconds):
            if number != self._part:
                self._open_part(number)
            if self._stream is None:
                continue
            shift -= self._offset
            self._go_to(max(0.0, start_seconds - _SEEK_BACK_SECONDS) - shift)
            resampler = AudioResampler("fltp", "stereo", self.rate)
            for frame in self._frames():
                if frame.pts is None:
                    continue
                seconds = float(frame.pts * frame.time_base) + shift
                if seconds >= min(end_seconds, until):
                    break
                if seconds + frame.samples / (frame.sample_rate or 1) < start_seconds:
                    continue
                place = round((seconds - start_seconds) * (self.rate or 0))
                for made in resampler.resample(frame):
                    samples = made.to_ndarray().astype(np.float32, copy=False)
                    yield place, samples
                    place += samples.shape[1]

    def _go_to(self, seconds: float) -> None:
        known = self._timeline.map
        self._mender: _SoundMender | None = None
        self._first_byte = 0
        with suppress(EngineError, OverflowError):
            if known is None or len(known.stretches) == 1 or self._timeline.is_joined:
                ticks = max(0, round(seconds / self._stream.time_base))
                self._container.seek(ticks, stream=self._stream)
                return
            self._mender = _SoundMender(known, self._timeline.tick_seconds, self._stream.time_base)
            byte = self._timeline.byte_before(seconds - _INTERLEAVED_SECONDS)
            if self._timeline.reads_on_anywhere:
                self._container.seek(byte, unsupported_byte_offset=True)
            else:
                self._container.seek(0)
            self._first_byte = byte

    def _frames(self) -> Iterator[Any]:
        broken = 0
        packets = self._container.demux(self._stream)
        while broken < _BROKEN_IN_A_ROW:
            try:
                packet = next(packets)
                if packet.size and (packet.pos or 0) < self._first_byte:
                    continue
                if self._mender is not None:
                    self._mender.mend(packet)
                found = packet.decode()
                broken = 0
            except (StopIteration, EOFError):
                return
            except EngineError:
                broken += 1
                packets = self._container.demux(self._stream)
                continue
            yield from found


class _SoundMender:
    """Puts the stamps of sound on the timeline of the pictures that lie beside it in the file."""

    def __init__(self, known: ClockMap, film_tick_seconds: float, tick: Fraction) -> None:
        self._known = known
        self._ratio = film_tick_seconds / float(tick)
        self._tick_seconds = float(tick)
        self._expected: float | None = None

    def mend(self, packet: Any) -> None:
        """By the place of the packet; at a seam, where that is not sure, by what goes on from before."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None or packet.pos is None:
            return
        number = self._known.stretch_at(packet.pos)
        shifts = [
            round(stretch.shift_ticks * self._ratio)
            for stretch in self._known.stretches[max(0, number - 1) : number + 2]
        ]
        here = round(self._known.stretches[number].shift_ticks * self._ratio)
        expected = self._expected
        if expected is not None and abs(stamp + here - expected) * self._tick_seconds > _SEAM_SECONDS:
            here = min(shifts, key=lambda shift: abs(stamp + shift - expected))
        self._expected = stamp + here + (packet.duration or 0)
        packet.pts = None if packet.pts is None else packet.pts + here
        packet.dts = None if packet.dts is None else packet.dts + here
