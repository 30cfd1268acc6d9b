"""A picture of a page in few bytes: a PNG with a palette. A browser reads the picture and chooses the colours."""

import struct
import zlib
from collections.abc import Sequence

QUANTISED = """
async (encoded) => {
  const MOST = 96;
  const image = new Image();
  image.src = "data:image/png;base64," + encoded;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Uint32Array(data.length / 4);
  const counted = new Map();
  for (let at = 0; at < colours.length; at++) {
    const colour = data[at * 4] << 16 | data[at * 4 + 1] << 8 | data[at * 4 + 2];
    colours[at] = colour;
    counted.set(colour, (counted.get(colour) || 0) + 1);
  }
  const part = (colour, shift) => colour >> shift & 255;
  const apart = (a, b) => [0, 8, 16].reduce((sum, shift) => sum + Math.abs(part(a, shift) - part(b, shift)), 0);
  const byCount = [...counted].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([colour]) => colour);
  // Those that are there most, and are not nearly one that is there already.
  const palette = [];
  for (const near of [18, 6, 0]) {
    for (const colour of byCount) {
      if (palette.length === MOST) break;
      if (palette.every((other) => apart(colour, other) > near)) palette.push(colour);
    }
  }
  const place = new Map();
  for (const colour of byCount) {
    let best = 0;
    for (let index = 1; index < palette.length; index++) {
      if (apart(colour, palette[index]) < apart(colour, palette[best])) best = index;
    }
    place.set(colour, best);
  }
  const pixels = new Uint8Array(colours.length);
  for (let at = 0; at < colours.length; at++) pixels[at] = place.get(colours[at]);
  let text = "";
  for (let at = 0; at < pixels.length; at += 32768) text += String.fromCharCode(...pixels.subarray(at, at + 32768));
  return { width: canvas.width, height: canvas.height, palette, pixels: btoa(text) };
}
"""
"""JavaScript: of a PNG in base64 its width, height, palette of at most 96 colours (0xRRGGBB), and its pixels as places
in the palette, in base64.
"""


def png(width: int, height: int, palette: Sequence[int], pixels: bytes) -> bytes:
    """A PNG of pixels that are places in a palette of colours 0xRRGGBB."""
    lines = b"".join(b"\0" + pixels[at : at + width] for at in range(0, width * height, width))
    colours = b"".join(colour.to_bytes(3, "big") for colour in palette)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", colours),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
