#!/usr/bin/env python3
"""Reference decoder of Busbar's blocks, as docs/formats.md describes them.

    python3 busbar_block.py FILE

prints one JSON object a line: the signal table, then each sample.
It is written to be read, not to be fast, and needs only the standard library.
"""

import json
import struct
import sys

BLOCK_MAGIC = b"BBK\x01"
MAX_SAMPLES = 1 << 20
MAX_TEXT_BYTES = 256
FRAME = 64
WRAP = 0xFFFFFFFFFFFFFFFF

NONE, FLOAT, DECIMAL64, DECIMAL32, INT, UINT, BOOL, TEXT = range(8)
KINDS = ["none", "float64", "float64", "float64", "int64", "uint64", "bool", "text"]
OFFSETS, DELTAS, RAMP, RUNS = range(4)
UNITS = [1, 1_000, 1_000_000, 60_000_000]


class FormatError(ValueError):
    pass


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def signed64(v):
    return v - (1 << 64) if v >> 63 else v


class Bits:
    """Reads bits, each byte from its lowest up."""

    def __init__(self, data, start):
        self.data, self.pos = data, start * 8

    def bits(self, width):
        end = self.pos + width
        if end > len(self.data) * 8:
            raise FormatError(f"byte {self.pos // 8}: cut short")
        window = int.from_bytes(self.data[self.pos // 8 : (end + 7) // 8], "little")
        value = window >> self.pos % 8 & ((1 << width) - 1)
        self.pos = end
        return value

    def number(self):
        groups = 0
        while self.bits(1):
            groups += 1
            if groups > 16:
                raise FormatError(f"byte {self.pos // 8}: number of more than 64 bits")
        return self.bits(4 * groups)

    def signed(self):
        return unzigzag(self.number())


def unzigzag(v):
    return v >> 1 ^ -(v & 1)


class Frame:
    """What one frame hands on to the frames described relative to it."""

    form, width, shift = OFFSETS, 0, 0
    base, step, last = 0, 0, 0


def read_frame(bits, n, ref, is_float):
    """The n numbers of a frame, modulo 2^64, and the Frame."""
    f = Frame()
    if bits.bits(1):
        f.form, f.width, f.shift = ref.form, ref.width, ref.shift
    else:
        f.form, f.width = bits.bits(2), bits.bits(7)
        f.shift = bits.bits(6) if is_float else 0
    if f.width > 64 or (f.form == RUNS and f.width):
        raise FormatError(f"byte {bits.pos // 8}: frame of form {f.form} with {f.width} bits a number")

    base = ((ref.base >> f.shift) + bits.signed()) & WRAP
    x = [base]
    if f.form == OFFSETS:
        x = [(base + bits.bits(f.width)) & WRAP for _ in range(n)]
    elif f.form == DELTAS:
        while len(x) < n:
            x.append((x[-1] + unzigzag(bits.bits(f.width))) & WRAP)
    elif f.form == RAMP:
        step = (signed64(ref.step) >> f.shift) + bits.signed()
        while len(x) < n:
            x.append((x[-1] + step + bits.bits(f.width)) & WRAP)
    else:
        x = []
        value = base
        while True:
            length = bits.number() + 1
            if length > n - len(x):
                raise FormatError(f"byte {bits.pos // 8}: run longer than its frame")
            x += [value] * length
            if len(x) == n:
                break
            value = (value + bits.signed()) & WRAP
    if f.form != RAMP:
        step = x[min(1, n - 1)] - x[0]

    f.base, f.step = base << f.shift & WRAP, step << f.shift & WRAP
    x = [v << f.shift & WRAP for v in x]
    f.last = x[-1]
    return x, f


def read_frames(bits, n, ref, is_float=False):
    """n numbers cut into frames, and the first Frame."""
    numbers, first = [], None
    while len(numbers) < n:
        part, f = read_frame(bits, min(FRAME, n - len(numbers)), ref, is_float)
        numbers += part
        first = first or f
        ref = Frame()
        ref.form, ref.width, ref.shift = f.form, f.width, f.shift
        ref.base, ref.step = f.last, f.step
        if f.form == RAMP:
            ref.base = (f.last + f.step) & WRAP
    return numbers, first


class Shape:
    type, exponent, frame = NONE, 0, Frame()


class Columns:
    """Reads columns; its members are what a column may refer back to."""

    def __init__(self, bits, total):
        self.bits, self.total = bits, total
        self.shapes = []
        self.run = self.last_run = 0  # index of the first column of each
        self.quality = [(0, False, 0)]  # (length or 0 to the end, none, quality)
        self.sequences = []
        self.times = None  # of the last column
        self.unit, self.time_frame = 0, Frame()

    def column(self, limit):
        """The samples of one column: (time, quality, kind, value)."""
        self.read_times()
        n = len(self.times)
        if not 1 <= n <= limit:
            self.fail(f"{n} samples, expected 1 to {limit}")
        self.read_quality()
        samples, i = [], 0
        for length, none, quality in self.quality:
            end = i + length if length else n
            if not i < end <= n:
                self.fail(f"quality runs don't fit {n} samples")
            samples += [(t, quality, none) for t in self.times[i:end]]
            i = end
        if i < n:
            self.fail(f"quality runs don't fit {n} samples")
        values = self.read_values(sum(not none for _, _, none in samples))
        return [(t, q, "none", None) if none else (t, q, *next(values)) for t, q, none in samples]

    def read_times(self):
        bits = self.bits
        if bits.bits(1):
            if self.times is None:
                self.fail("the first column has no times")
            return
        self.last_run, self.run = self.run, len(self.shapes)
        back = bits.number()
        if back:
            if back > len(self.sequences):
                self.fail(f"times {back} sequences back, of {len(self.sequences)}")
            self.times = self.sequences[-back]
            return
        before = len(self.sequences[-1]) if self.sequences else self.total
        n = before + bits.signed()
        if not 1 <= n <= MAX_SAMPLES:
            self.fail(f"{n} times")
        unit = bits.bits(2)
        if unit != self.unit:
            self.unit, self.time_frame = unit, Frame()
        numbers, self.time_frame = read_frames(bits, n, self.time_frame)
        self.times = [signed64(t) * UNITS[unit] for t in numbers]
        self.sequences.append(self.times)

    def read_quality(self):
        bits = self.bits
        if bits.bits(1):
            return
        self.quality = []
        last = False
        while not last:
            last = bits.bits(1)
            length = 0 if last else bits.number() + 1
            none = bool(bits.bits(1))
            quality = bits.number()
            if quality > 0xFFFF:
                self.fail(f"quality {quality} of more than 16 bits")
            self.quality.append((length, none, quality))

    def reference(self):
        i = len(self.shapes)
        like = self.last_run + i - self.run
        if like < self.run:
            return self.shapes[like]
        return self.shapes[-1] if i else Shape()

    def read_values(self, n):
        """An iterator of the column's n values, as (kind, value)."""
        bits, ref = self.bits, self.reference()
        shape = Shape()
        if bits.bits(1):
            shape.type, shape.exponent, shape.frame = ref.type, ref.exponent, ref.frame
        else:
            shape.type = bits.bits(3)
            if shape.type in (DECIMAL64, DECIMAL32):
                shape.exponent = bits.bits(4)
        if (shape.type == NONE) != (n == 0):
            self.fail(f"{n} values of kind {KINDS[shape.type]}")
        if shape.type == NONE:
            self.shapes.append(ref)
            return iter(())
        texts = self.read_dictionary(n) if shape.type == TEXT else []
        numbers, shape.frame = read_frames(bits, n, shape.frame, shape.type == FLOAT)
        self.shapes.append(shape)
        return iter([(KINDS[shape.type], self.value(v, shape, texts)) for v in numbers])

    def read_dictionary(self, n):
        bits = self.bits
        count = bits.number()
        if not 1 <= count <= n:
            self.fail(f"{count} distinct texts in {n} values")
        texts = []
        for _ in range(count):
            length = bits.number()
            if length > MAX_TEXT_BYTES:
                self.fail(f"text of {length} bytes")
            texts.append(bytes(bits.bits(8) for _ in range(length)).decode())
        return texts

    def value(self, v, shape, texts):
        """A number as a value; of a float, its bits."""
        if shape.type == FLOAT:
            return v
        if shape.type in (DECIMAL64, DECIMAL32):
            quotient = float(signed64(v)) / float(10**shape.exponent)
            if shape.type == DECIMAL32:
                quotient = struct.unpack("<f", struct.pack("<f", quotient))[0]
            return struct.unpack("<Q", struct.pack("<d", quotient))[0]
        if shape.type == INT:
            return signed64(v)
        if shape.type == BOOL and v > 1:
            self.fail(f"{v} is no bool")
        if shape.type == BOOL:
            return v == 1
        if shape.type == TEXT:
            if v >= len(texts):
                self.fail(f"text {v} of {len(texts)}")
            return texts[v]
        return v

    def fail(self, what):
        raise FormatError(f"byte {self.bits.pos // 8}: {what}")


def decode(data):
    """(table, version, samples) of a block.

    A sample is (signal, time in µs, quality, kind, value); the value of a
    float64 is its bits as an int. Raises FormatError.
    """
    if not data.startswith(BLOCK_MAGIC):
        raise FormatError("byte 0: no block of version 1")
    if len(data) < len(BLOCK_MAGIC) + 4:
        raise FormatError(f"{len(data)} bytes are too few")
    body, stored = data[:-4], int.from_bytes(data[-4:], "little")
    if crc32c(body) != stored:
        raise FormatError(f"byte {len(body)}: CRC is {crc32c(body):08x}, {stored:08x} was stored")

    bits = Bits(body, len(BLOCK_MAGIC))
    table, version = bits.bits(64), bits.number()
    if version >> 32:
        raise FormatError(f"byte {bits.pos // 8}: table version {version}")
    total = bits.number()
    if total > MAX_SAMPLES:
        raise FormatError(f"byte {bits.pos // 8}: {total} samples")
    columns, samples, signal = Columns(bits, total), [], -1
    while len(samples) < total:
        signal += 1 if bits.bits(1) else bits.number()
        if not 0 <= signal <= 0xFFFFFFFF:
            raise FormatError(f"byte {bits.pos // 8}: signal id {signal}")
        samples += [(signal, *s) for s in columns.column(total - len(samples))]
    left = len(body) * 8 - bits.pos
    if left >= 8 or bits.bits(left):
        raise FormatError(f"byte {bits.pos // 8}: more than the samples announced")
    return table, version, samples


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    try:
        table, version, samples = decode(data)
    except (FormatError, UnicodeDecodeError) as e:
        sys.exit(f"{sys.argv[1]}: {e}")
    sys.stdout.reconfigure(encoding="utf-8")
    print(json.dumps({"table": f"{table:016x}", "version": version}))
    for signal, time, quality, kind, value in samples:
        line = {"signal": signal, "time_us": time, "quality": quality, "kind": kind}
        if kind == "float64":
            line["bits"] = f"{value:016x}"
        elif kind != "none":
            line["value"] = value
        print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
