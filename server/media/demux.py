"""Untrusted video bytes -> decoded frames, in the order of the file.

Only what begins like one of six containers reaches a demuxer, and only that container's; only the
decoders of a list are used.  libav reads from memory and may open nothing else: no protocol is
allowed, and a file or address that a container names meets `_refuse`.  Everything runs in this one
thread.  Messages are ours: libav's text may name addresses and internals, and it goes nowhere.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import av
from av import AudioFrame, CodecContext, VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from perceiver_core.errors import InvalidInput
from server.media.limits import Limits, Meter, TooLarge
from server.signatures import ACCEPTED_VIDEO, describe, video_format

DAMAGED = "the video is damaged or ends too early: send the whole file"
NO_FRAME = "the video has no frame that can be read: send the whole file"
NO_PICTURE = "the file has no picture: send a video"

DEMUXERS = {
    "MP4": "mov",
    "WebM": "matroska",
    "AVI": "avi",
    "Ogg": "ogg",
    "MPEG-TS": "mpegts",
    "MPEG": "mpeg",
}
PICTURE_CODECS = (
    *("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg4", "mpeg1video", "mpeg2video"),
    *("mjpeg", "theora", "h263", "prores", "ffv1", "rawvideo", "msmpeg4v2", "msmpeg4"),
)
SOUND_CODECS = (
    *("aac", "mp3", "mp3float", "mp2", "mp2float", "ac3", "eac3", "opus", "vorbis", "flac", "alac"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_u8", "pcm_f32le"),
    *("pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav"),
)


class NotAVideo(InvalidInput):
    """The bytes are of no format we decode."""

    code = "unsupported_media_type"


def decoded(data: bytes, limits: Limits) -> Iterator[tuple[float, VideoFrame | AudioFrame]]:
    """(time in seconds, frame) of the file's picture and of its sound, if it has one.

    Raises InvalidInput, TooLarge, or unsupported_media_type; libav's own errors where they are to
    be read by `ours`.
    """
    kind = video_format(data)
    if kind is None:
        raise NotAVideo(f"the file is not an {ACCEPTED_VIDEO} video{describe(data)}: convert it")
    with av.open(
        io.BytesIO(data),
        "r",
        format=DEMUXERS[kind],
        container_options={
            "protocol_whitelist": "none",
            "codec_whitelist": ",".join(PICTURE_CODECS + SOUND_CODECS),
        },
        options={"skip_frame": "all"},  # nothing is decoded before the header is checked
        metadata_errors="replace",
        io_open=_refuse,
    ) as file:
        tracks = _tracks(file, limits)
        meter = Meter(limits)
        read, skipped = Counter[int](), Counter[int]()  # packets by track
        for packet in file.demux(*tracks):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                if read[packet.stream_index]:
                    raise
                skipped[packet.stream_index] += 1  # a recording may begin in the middle
                continue
            if packet.is_corrupt:
                raise InvalidInput(DAMAGED)
            read[packet.stream_index] += packet.size > 0
            for frame in frames:
                assert isinstance(frame, VideoFrame | AudioFrame)
                yield meter.pass_on(frame), frame
        ends_early = kind == "MP4" and read[tracks[0].index] < len(tracks[0].index_entries)
        if ends_early or any(not read[track] for track in skipped):
            raise InvalidInput(DAMAGED)


@contextmanager
def ours() -> Iterator[None]:
    """Says in our words what libav found."""
    try:
        yield
    except InvalidInput:
        raise
    except MemoryError:
        raise TooLarge(
            "the video takes too much memory, or has too many tracks: send a smaller one"
        ) from None
    except (av.FFmpegError, ValueError, OverflowError):
        raise InvalidInput(DAMAGED) from None


def _tracks(file: InputContainer, limits: Limits) -> list[VideoStream | AudioStream]:
    """The track of pictures to read, and the one of sound where there is one, ready to decode."""
    pictures = [
        track
        for track in file.streams.video
        if not track.disposition & Disposition.attached_pic  # a cover is no video
    ]
    if not pictures:
        raise InvalidInput(NO_PICTURE)
    tracks: list[VideoStream | AudioStream] = [pictures[0], *file.streams.audio[:1]]
    for track in tracks:
        codec: CodecContext | None = track.codec_context  # PyAV's types forget the None
        name = "something unknown" if codec is None else codec.name
        if name not in PICTURE_CODECS + SOUND_CODECS:
            raise NotAVideo(
                f"the {track.type} is coded as {name}, which is not read: convert it to H.264 and "
                "AAC"
            )
    limits.check_header(file, tracks)
    for track in tracks:
        track.codec_context.thread_count = 1
        # A decoder is not to allocate what the meter would refuse; they round sizes up.
        track.codec_context.options = {"max_pixels": str(2 * limits.pixels + 2**16)}
    return tracks


def _refuse(url: str, *_: Any) -> NoReturn:
    raise InvalidInput("the video names another file or address: send a file that holds everything")
