"""The triton kernel that makes all images of a batch in one launch; `batch_rendering` prepares and launches it."""

# Annotations of kernel arguments would only repeat "pointer" and "scalar": triton infers them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import triton
import triton.language as tl

# Numbers of a region in the table, in this order: the byte where it begins, the bytes from one field, channel and row
# of it to the next, its height and width, and whether it is mirrored.
FIRST, FIELD, CHANNEL, ROW, HEIGHT, WIDTH, FLIP, NUMBERS = (tl.constexpr(k) for k in range(8))
# Unrolled loops keep the weights of all taps in registers, for all fields of an image: while there are enough.
MOST_UNROLLED_ROWS, MOST_UNROLLED_COLUMNS = tl.constexpr(3), tl.constexpr(5)


@triton.jit
def weight_of(tap, first, count, centre, sharpness):
    """The weight of a tap, a source pixel counted from the first one, before all are scaled to the sum 1."""
    weight = tl.maximum(1.0 - tl.abs((tap + first - centre + 0.5) * sharpness), 0.0)
    return tl.where(tap < count, weight, 0.0)


@triton.jit
def taps_of(target, length, SIZE: tl.constexpr, TAPS: tl.constexpr):
    """The first source pixel of target pixels along one axis, and what their weights depend on.

    The arithmetic is that of torch's bilinear resizing with antialiasing, in its order.
    """
    scale = tl.div_rn(tl.cast(length, tl.float32), SIZE * 1.0)
    support = tl.maximum(scale, 1.0)
    sharpness = 1.0 / support
    centre = scale * (tl.cast(target, tl.float32) + 0.5)
    first = tl.maximum(tl.cast(centre - support + 0.5, tl.int32), 0)
    count = tl.minimum(tl.cast(centre + support + 0.5, tl.int32), length) - first
    total = tl.zeros_like(centre)
    for tap in range(TAPS):
        total += weight_of(tap, first, count, centre, sharpness)
    return first, count, centre, sharpness, total


@triton.jit
def value_of(pixels, mirrored):
    """Bytes as float32; x of a mirrored flow field changes its sign."""
    value = tl.cast(tl.load(pixels), tl.float32)
    return tl.where(mirrored, tl.minimum(256.0 - value, 255.0), value)


@triton.jit
def resized(plane, row_bytes, height, width, flip, mirrored, rows, columns, TAPS: tl.constexpr):
    """A channel of a field at target pixels; `rows` and `columns` are their `taps_of`."""
    y, y_count, y_centre, y_sharpness, y_total = rows
    x, x_count, x_centre, x_sharpness, x_total = columns
    origin, step = tl.where(flip, width - 1, 0), tl.where(flip, -1, 1)
    value = tl.zeros_like(y_centre)
    for i in tl.range(TAPS, loop_unroll_factor=TAPS if TAPS <= MOST_UNROLLED_ROWS else 1):
        # A tap behind the edge has no weight: the pixel at the edge is read instead.
        row = tl.minimum(y + i, height - 1) * row_bytes + origin
        line = tl.zeros_like(value)
        for j in tl.range(TAPS, loop_unroll_factor=TAPS if TAPS <= MOST_UNROLLED_COLUMNS else 1):
            weight = weight_of(j, x, x_count, x_centre, x_sharpness) / x_total
            line = tl.fma(weight, value_of(plane + (row + step * tl.minimum(x + j, width - 1)), mirrored), line)
        value = tl.fma(weight_of(i, y, y_count, y_centre, y_sharpness) / y_total, line, value)
    return value


@triton.jit(do_not_specialize=["regions", "images"])
def render_images(
    data,
    table,
    normalisation,
    out,
    regions,
    images,
    SIZE: tl.constexpr,
    TAPS: tl.constexpr,
    STACK: tl.constexpr,
    CHANNELS: tl.constexpr,
    FLOW: tl.constexpr,
    REVERSED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """`stp.sampling.crops.render` of each image's fields; a program makes BLOCK pixels of an image in all channels.

    Args:
        data: uint8, the stored fields.
        table: int64, one after another: the NUMBERS of each region; each image's region; the STACK fields of each
            image, counted within its region.
        normalisation: float32 (2, CHANNELS), the mean and standard deviation of a field's channels, or None.
        out: float32 or bfloat16 (images, SIZE, SIZE, STACK * CHANNELS), a field's channels last to first if REVERSED.
    """
    blocks: tl.constexpr = (SIZE * SIZE + BLOCK - 1) // BLOCK
    image = tl.program_id(0) // blocks
    lanes = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    pixel = tl.minimum(lanes, SIZE * SIZE - 1)

    numbers = table + regions * NUMBERS
    region = table + tl.load(numbers + image) * NUMBERS
    first, field_bytes = tl.load(region + FIRST), tl.load(region + FIELD)
    channel_bytes, row_bytes = tl.load(region + CHANNEL), tl.cast(tl.load(region + ROW), tl.int32)
    height, width = tl.cast(tl.load(region + HEIGHT), tl.int32), tl.cast(tl.load(region + WIDTH), tl.int32)
    flip = tl.load(region + FLIP) != 0
    rows = taps_of(pixel // SIZE, height, SIZE, TAPS)
    columns = taps_of(pixel % SIZE, width, SIZE, TAPS)

    target = out + tl.cast(image, tl.int64) * (SIZE * SIZE * STACK * CHANNELS) + lanes * (STACK * CHANNELS)
    for i in range(STACK):
        field = data + first + tl.load(numbers + images + image * STACK + i) * field_bytes
        for c in tl.static_range(CHANNELS):
            value = resized(
                field + c * channel_bytes, row_bytes, height, width, flip, flip & (FLOW and c == 0), rows, columns, TAPS
            )
            if normalisation is not None:
                value = (value - tl.load(normalisation + c)) / tl.load(normalisation + CHANNELS + c)
            place = CHANNELS - 1 - c if REVERSED else c
            tl.store(target + i * CHANNELS + place, value, mask=lanes < SIZE * SIZE)
