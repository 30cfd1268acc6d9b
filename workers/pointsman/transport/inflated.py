"""How long a compressed body is, found piece by piece: a few kilobytes could fill the memory of a node."""

import base64
import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from kombu import compression

MOST_INFLATED_BYTES = 32 * 1024 * 1024
"""Of one body. What is longer is not inflated."""
_DICTIONARY_BYTES = 128 * 1024 * 1024
"""Of lzma, which takes what a header of thirteen bytes asks for. The highest preset needs 65 MiB."""
_PIECE_BYTES = 256 * 1024


def is_too_long(body: str, is_base64: bool, method: str) -> bool:
    """Whether ``body`` would be longer than ``MOST_INFLATED_BYTES``. Never holds more than a piece of it.

    ``method`` is a name or content type known to kombu; what others than kombu have registered is taken for short.
    Raises whatever a decompressor raises at what is not of its format; ``ValueError`` when anything follows the body.
    """
    known: Any = compression
    _, content_type = known.get_encoder(method)
    make = _METHODS.get(content_type)
    if make is None:
        return False
    packed = base64.b64decode(body) if is_base64 else body.encode()
    stream = make()
    length = 0
    while True:
        piece = stream.decompress(packed, _PIECE_BYTES)
        packed = getattr(stream, "unconsumed_tail", b"")
        length += len(piece)
        if length > MOST_INFLATED_BYTES:
            return True
        if stream.eof:
            break
        if not piece:
            raise EOFError("its end is missing")
    if stream.unused_data:
        # Whoever inflates goes on with what follows, which may be as long again.
        raise ValueError("something follows it")
    return False


def _lzma() -> Any:
    return lzma.LZMADecompressor(memlimit=_DICTIONARY_BYTES)


class _Brotli:
    """Brotli's decompressor, with the words of zlib's."""

    unused_data = b""

    def __init__(self) -> None:
        # No dependency of ours. Before 1.2 it knows no limit, and the TypeError says so.
        self._stream: Any = importlib.import_module("brotli").Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._stream.is_finished())

    def decompress(self, packed: bytes, most: int) -> bytes:
        return bytes(self._stream.process(packed, output_buffer_limit=most))


def _zstd() -> Any:
    known: Any = compression
    return known.zstd.ZstdDecompressor()


_METHODS: dict[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": _lzma,
    "application/x-brotli": _Brotli,
    "application/zstd": _zstd,
}
"""By what kombu registers. A body of Celery's is one stream."""
