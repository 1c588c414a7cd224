"""Triton kernels of TV-L1 optical flow; `triton_engine` owns the buffers and launches them.

Fields. The F fields of a pair lie line by line: 32 pixels of the first field, the same 32 pixels of the second, and so
on, then the next 32 pixels of the row. A warp thus reads whole 128-byte lines, and the fields of a pixel are a constant
number of floats apart, so that one address serves all of them. Rows are padded to `pitch`, a multiple of 32. F is 2 for
the flow (u1, u2), 4 for its dual variables (p11, p12, p21, p22), 3 for the linearisation (d/dx, d/dy, rho at u = 0) and
for the second image (grey, d/dx, d/dy), 1 for images, which may have any pitch.

Two buffers, "sides", take turns in holding the flow, two more the dual variables, because a program reads pixels that
another one updates in the same launch. `state` (2, 4, capacity) int32 says of each pair whether it is ACTIVE, how many
iterations (COUNT) it has done since the last restart, and which sides are current; it and `previous` come twice as
well: a launch reads one slot and writes the other.

A pair's numbers never depend on its batch: all tiles and sums are laid out by the height and width alone, and no
integer that a batch could change is specialised on.
"""

# Annotations of kernel arguments would only repeat "pointer" and "scalar": triton infers them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import triton
import triton.language as tl

LINE = tl.constexpr(32)  # pixels of a line: a warp
FLOW_FIELDS, DUAL_FIELDS, LINEAR_FIELDS, MOVED_FIELDS = (tl.constexpr(k) for k in (2, 4, 3, 3))
ACTIVE, COUNT, FLOW_SIDE, DUAL_SIDE, WORDS = (tl.constexpr(k) for k in range(5))  # words of `state`, their number
SMALLEST_GRADIENT = tl.constexpr(2.0**-23)  # squared; below, the data term is switched off as in OpenCV


@triton.jit
def offset_of(x, FIELDS: tl.constexpr):
    """Floats from the start of a row to the first field of its pixel x."""
    return (x & -LINE) * FIELDS + (x & (LINE - 1))


@triton.jit
def start_of(n, height, pitch, FIELDS: tl.constexpr):
    """Floats from the start of a buffer to its pair n."""
    return tl.cast(n, tl.int64) * height * pitch * FIELDS


# -------------------------------------------------------------------------------------------------------- stop test


@triton.jit
def examine(state, previous, errors, slot, n, capacity, tiles, stop, LAZY: tl.constexpr, PARTIALS: tl.constexpr):
    """True if pair n, active so far, goes on, from the partial sums of its last iteration, always added in one order.

    LAZY is OpenCV CUDA's test: odd iterations only, and only where `previous` is under the threshold, which is the last
    sum that was taken less the threshold for every iteration since. Returns also COUNT and the new `previous`.
    """
    count = tl.load(state + (slot * WORDS + COUNT) * capacity + n)
    before = tl.load(previous + slot * capacity + n)
    tested = count > 0
    if LAZY:
        tested = tested & (count % 2 == 0) & (before < stop)
    partials = tl.arange(0, PARTIALS)
    half = errors + (tl.cast(count % 2, tl.int64) * capacity + n) * tiles
    error = tl.sum(tl.load(half + partials, mask=(partials < tiles) & tested, other=0.0), axis=0)
    active = error > tl.where(tested, stop, -1.0)
    now = tl.where(count > 0, tl.where(tested, error, before - stop), before)
    return active, count, now


@triton.jit(do_not_specialize=["capacity", "tiles"])
def conclude(state, previous, errors, capacity, tiles, stop, LAZY: tl.constexpr, PARTIALS: tl.constexpr):
    """After the launches of a loop: drop the pairs that have converged. One program a pair, all in slot 0.

    LAZY goes on counting in the next loop, which starts by examining the pairs again; otherwise the count restarts.
    """
    n = tl.program_id(0)
    if tl.load(state + ACTIVE * capacity + n) != 0:
        active, _, _ = examine(state, previous, errors, 0, n, capacity, tiles, stop, LAZY, PARTIALS)
        tl.store(state + ACTIVE * capacity + n, tl.cast(active, tl.int32))
        if not LAZY:
            tl.store(state + COUNT * capacity + n, 0)


@triton.jit(do_not_specialize=["capacity"])
def compact(state, order, remaining, capacity, BLOCK: tl.constexpr):
    """`order`: the active pairs, ascending; `remaining`: their number. One program."""
    lanes = tl.arange(0, BLOCK)
    active = tl.load(state + ACTIVE * capacity + lanes, mask=lanes < capacity, other=0)
    tl.store(order + tl.cumsum(active, axis=0) - active, lanes, mask=active != 0)
    tl.store(remaining, tl.sum(active, axis=0))


# ---------------------------------------------------------------------------------------------- primal-dual iteration


@triton.jit
def flow_and_update(flow, linear, divergence1, divergence2, mask, lambda_theta, theta):
    """u at one vector of pixels and its update: thresholding plus theta times the divergence of p."""
    u1 = tl.load(flow, mask=mask, other=0.0)
    u2 = tl.load(flow + LINE, mask=mask, other=0.0)
    ix = tl.load(linear, mask=mask, other=0.0)
    iy = tl.load(linear + LINE, mask=mask, other=0.0)
    rho = tl.load(linear + 2 * LINE, mask=mask, other=0.0) + ix * u1 + iy * u2
    squared = ix * ix + iy * iy
    inverse = tl.where(squared > SMALLEST_GRADIENT, 1.0 / squared, 0.0)  # cheaper than another 4 bytes to be read
    step = tl.minimum(tl.maximum(-rho * inverse, -lambda_theta), lambda_theta)
    return u1, u2, step * ix + theta * divergence1, step * iy + theta * divergence2


@triton.jit
def ascend(target, px, py, gx, gy, mask):
    """Dual variables moved by the scaled gradient (gx, gy) of u, reprojected onto the unit disc and stored."""
    shrink = 1.0 / (1.0 + tl.sqrt(gx * gx + gy * gy))
    tl.store(target, (px + gx) * shrink, mask=mask)
    tl.store(target + LINE, (py + gy) * shrink, mask=mask)


@triton.jit
def iterate_tile(
    flow, new_flow, dual, new_dual, linear, x, first, rows, height, width, pitch, lambda_theta, theta, tau_theta
):
    """One iteration of a tile: columns x, from row `first` on. Returns each column's sum of squared updates.

    The tile is walked down a row at a time. p of a row wants the new u below and to the right: so u is computed for one
    row more than the tile has, and for the column to the right as well, and p follows one row behind. Temporal blocking
    (several iterations of a tile with a wider halo kept on chip) would replace this function and nothing else.
    """
    stop = tl.minimum(first + rows, height)
    inside, has_left, has_right = x < width, (x > 0) & (x < width), x + 1 < width
    flow_here, flow_right = offset_of(x, FLOW_FIELDS), offset_of(x + 1, FLOW_FIELDS)
    dual_here, dual_right, dual_left = (
        offset_of(x, DUAL_FIELDS),
        offset_of(x + 1, DUAL_FIELDS),
        offset_of(x - 1, DUAL_FIELDS),
    )
    linear_here, linear_right = offset_of(x, LINEAR_FIELDS), offset_of(x + 1, LINEAR_FIELDS)

    row = dual + (first - 1) * pitch * DUAL_FIELDS
    above12 = tl.load(row + dual_here + 1 * LINE, mask=inside & (first > 0), other=0.0)
    above22 = tl.load(row + dual_here + 3 * LINE, mask=inside & (first > 0), other=0.0)
    right12 = tl.load(row + dual_right + 1 * LINE, mask=has_right & (first > 0), other=0.0)
    right22 = tl.load(row + dual_right + 3 * LINE, mask=has_right & (first > 0), other=0.0)
    zeros = tl.zeros_like(above12)
    above11, above21, above_u1, above_u2, above_gx1, above_gx2, errors = zeros, zeros, zeros, zeros, zeros, zeros, zeros

    for y in range(first, stop + 1):
        here, right = inside & (y < height), has_right & (y < stop)
        row = dual + y * pitch * DUAL_FIELDS
        p11 = tl.load(row + dual_here, mask=here, other=0.0)
        p12 = tl.load(row + dual_here + 1 * LINE, mask=here, other=0.0)
        p21 = tl.load(row + dual_here + 2 * LINE, mask=here, other=0.0)
        p22 = tl.load(row + dual_here + 3 * LINE, mask=here, other=0.0)
        left11 = tl.load(row + dual_left, mask=has_left & here, other=0.0)
        left21 = tl.load(row + dual_left + 2 * LINE, mask=has_left & here, other=0.0)
        q11 = tl.load(row + dual_right, mask=right, other=0.0)
        q12 = tl.load(row + dual_right + 1 * LINE, mask=right, other=0.0)
        q21 = tl.load(row + dual_right + 2 * LINE, mask=right, other=0.0)
        q22 = tl.load(row + dual_right + 3 * LINE, mask=right, other=0.0)
        flow_row, linear_row = flow + y * pitch * FLOW_FIELDS, linear + y * pitch * LINEAR_FIELDS
        u1, u2, d1, d2 = flow_and_update(
            flow_row + flow_here,
            linear_row + linear_here,
            (p11 - left11) + (p12 - above12),
            (p21 - left21) + (p22 - above22),
            here,
            lambda_theta,
            theta,
        )
        v1, v2, e1, e2 = flow_and_update(
            flow_row + flow_right,
            linear_row + linear_right,
            (q11 - p11) + (q12 - right12),
            (q21 - p21) + (q22 - right22),
            right,
            lambda_theta,
            theta,
        )
        u1 += d1
        u2 += d2

        # p of the row above: the first row of the walk has none, and the row under the image brings no gradient
        target, has_above = new_dual + (y - 1) * pitch * DUAL_FIELDS + dual_here, inside & (y > first)
        gy1 = tl.where(y < height, tau_theta * (u1 - above_u1), 0.0)
        gy2 = tl.where(y < height, tau_theta * (u2 - above_u2), 0.0)
        ascend(target, above11, above12, above_gx1, gy1, has_above)
        ascend(target + 2 * LINE, above21, above22, above_gx2, gy2, has_above)

        # u of this row, unless it is the next tile's, and its gradient to the right
        own, target = inside & (y < stop), new_flow + y * pitch * FLOW_FIELDS + flow_here
        tl.store(target, u1, mask=own)
        tl.store(target + LINE, u2, mask=own)
        errors += tl.where(own, d1 * d1 + d2 * d2, 0.0)
        above_gx1 = tl.where(has_right, tau_theta * (v1 + e1 - u1), 0.0)
        above_gx2 = tl.where(has_right, tau_theta * (v2 + e2 - u2), 0.0)
        above11, above12, above21, above22, right12, right22 = p11, p12, p21, p22, q12, q22
        above_u1, above_u2 = u1, u2
    return errors


@triton.jit(do_not_specialize=["slot", "filtered", "capacity", "height", "width", "pitch", "rows", "limit"])
def iterate(
    flow,
    dual,
    linear,
    state,
    previous,
    errors,
    order,
    remaining,
    slot,
    filtered,
    capacity,
    height,
    width,
    pitch,
    rows,
    limit,
    stop,
    lambda_theta,
    theta,
    tau_theta,
    LAZY: tl.constexpr,
    STRIP: tl.constexpr,
    PARTIALS: tl.constexpr,
):
    """One primal-dual iteration of u and p of all active pairs that have done fewer than `limit`.

    The programs share out the tiles of the pairs in `order`. Each tile first asks whether its pair has converged; all
    tiles of a pair find the same, and the first one writes the pair's next state. The sum of squared updates of each
    tile goes to errors (2, capacity, tiles), to the half that COUNT says. `filtered`: the median has just been written
    to the side that is not current, and this iteration starts from there.
    """
    strips = tl.cdiv(width, STRIP)
    tiles = strips * tl.cdiv(height, rows)
    flow_side_size, dual_side_size = (
        start_of(capacity, height, pitch, FLOW_FIELDS),
        start_of(capacity, height, pitch, DUAL_FIELDS),
    )
    for item in range(tl.program_id(0), tl.load(remaining) * tiles, tl.num_programs(0)):
        n, tile = tl.load(order + item // tiles), item % tiles
        word = state + slot * WORDS * capacity + n
        next_word = state + (1 - slot) * WORDS * capacity + n
        flow_side, dual_side = tl.load(word + FLOW_SIDE * capacity), tl.load(word + DUAL_SIDE * capacity)
        if tl.load(word + ACTIVE * capacity) != 0:
            active, count, now = examine(state, previous, errors, slot, n, capacity, tiles, stop, LAZY, PARTIALS)
            goes = active & (count < limit)
            source = flow_side ^ filtered
            if tile == 0:
                tl.store(next_word + ACTIVE * capacity, tl.cast(active, tl.int32))
                tl.store(next_word + COUNT * capacity, count + tl.cast(goes, tl.int32))
                tl.store(next_word + FLOW_SIDE * capacity, tl.where(goes, 1 - source, flow_side))
                tl.store(next_word + DUAL_SIDE * capacity, tl.where(goes, 1 - dual_side, dual_side))
                tl.store(previous + (1 - slot) * capacity + n, now)
            if goes:
                half = errors + (tl.cast((count + 1) % 2, tl.int64) * capacity + n) * tiles
                flow_of_pair, dual_of_pair = (
                    flow + start_of(n, height, pitch, FLOW_FIELDS),
                    dual + start_of(n, height, pitch, DUAL_FIELDS),
                )
                squares = iterate_tile(
                    flow_of_pair + source * flow_side_size,
                    flow_of_pair + (1 - source) * flow_side_size,
                    dual_of_pair + dual_side * dual_side_size,
                    dual_of_pair + (1 - dual_side) * dual_side_size,
                    linear + start_of(n, height, pitch, LINEAR_FIELDS),
                    tile % strips * STRIP + tl.arange(0, STRIP),
                    tile // strips * rows,
                    rows,
                    height,
                    width,
                    pitch,
                    lambda_theta,
                    theta,
                    tau_theta,
                )
                tl.store(half + tile, tl.sum(squares, axis=0))
        elif tile == 0:
            tl.store(next_word + ACTIVE * capacity, 0)
            tl.store(next_word + FLOW_SIDE * capacity, flow_side)
            tl.store(next_word + DUAL_SIDE * capacity, dual_side)


# ------------------------------------------------------------------------------------------------------ 5x5 median


@triton.jit
def sort2(a, b):
    return tl.minimum(a, b), tl.maximum(a, b)


@triton.jit
def sort5(a, b, c, d, e):
    a, b = sort2(a, b)
    d, e = sort2(d, e)
    c, e = sort2(c, e)
    c, d = sort2(c, d)
    b, e = sort2(b, e)
    a, d = sort2(a, d)
    a, c = sort2(a, c)
    b, d = sort2(b, d)
    b, c = sort2(b, c)
    return a, b, c, d, e


@triton.jit
def sorted_column(image, column, above2, above1, here, below1, below2, mask):
    """The five pixels around a row in one column, ascending."""
    return sort5(
        tl.load(image + above2 + column, mask=mask, other=0.0),
        tl.load(image + above1 + column, mask=mask, other=0.0),
        tl.load(image + here + column, mask=mask, other=0.0),
        tl.load(image + below1 + column, mask=mask, other=0.0),
        tl.load(image + below2 + column, mask=mask, other=0.0),
    )


@triton.jit
def median_of_sorted_columns(v, w, x, y, z):
    """Median of five sorted columns of five.

    Once the rows are sorted too, the cell of column i and row j has at least (i + 1)(j + 1) - 1 cells not above it and
    (5 - i)(5 - j) - 1 not below, so that only 13 cells can hold the median, and it is theirs; 17 exchanges find it.
    """
    _, _, _, a, b = sort5(v[0], w[0], x[0], y[0], z[0])
    _, _, c, d, e = sort5(v[1], w[1], x[1], y[1], z[1])
    _, f, g, h, _ = sort5(v[2], w[2], x[2], y[2], z[2])
    i, j, k, _, _ = sort5(v[3], w[3], x[3], y[3], z[3])
    m, o, _, _, _ = sort5(v[4], w[4], x[4], y[4], z[4])
    b, m = sort2(b, m)
    a, i = sort2(a, i)
    d, j = sort2(d, j)
    e, o = sort2(e, o)
    b, i = sort2(b, i)
    e, j = sort2(e, j)
    c, f = sort2(c, f)
    b, f = sort2(b, f)
    d, f = sort2(d, f)
    e, g = sort2(e, g)
    h, k = sort2(h, k)
    e, i = sort2(e, i)
    h, m = sort2(h, m)
    h, i = sort2(h, i)
    g, i = sort2(g, i)
    f, h = sort2(f, h)
    return tl.minimum(g, h)


@triton.jit(do_not_specialize=["capacity", "height", "width", "pitch"])
def median_5x5(flow, state, order, remaining, capacity, height, width, pitch, BLOCK: tl.constexpr):
    """5x5 median of both flow fields of all active pairs, edge pixels repeated, from the current side to the other."""
    tiles = tl.cdiv(height * pitch, BLOCK)
    side_size = start_of(capacity, height, pitch, FLOW_FIELDS)
    for item in range(tl.program_id(0), tl.load(remaining) * tiles, tl.num_programs(0)):
        n = tl.load(order + item // tiles)
        side = tl.load(state + FLOW_SIDE * capacity + n)
        pixel = item % tiles * BLOCK + tl.arange(0, BLOCK)
        y, x = pixel // pitch, pixel % pitch
        mask = (y < height) & (x < width)
        row, last = pitch * FLOW_FIELDS, height - 1
        above2, above1 = tl.maximum(y - 2, 0) * row, tl.maximum(y - 1, 0) * row
        below1, below2 = tl.minimum(y + 1, last) * row, tl.minimum(y + 2, last) * row
        left2, left1 = offset_of(tl.maximum(x - 2, 0), FLOW_FIELDS), offset_of(tl.maximum(x - 1, 0), FLOW_FIELDS)
        right1 = offset_of(tl.minimum(x + 1, width - 1), FLOW_FIELDS)
        right2 = offset_of(tl.minimum(x + 2, width - 1), FLOW_FIELDS)
        here, centre = y * row, offset_of(x, FLOW_FIELDS)
        of_pair = flow + start_of(n, height, pitch, FLOW_FIELDS)
        for field in tl.static_range(FLOW_FIELDS):
            image = of_pair + side * side_size + field * LINE
            median = median_of_sorted_columns(
                sorted_column(image, left2, above2, above1, here, below1, below2, mask),
                sorted_column(image, left1, above2, above1, here, below1, below2, mask),
                sorted_column(image, centre, above2, above1, here, below1, below2, mask),
                sorted_column(image, right1, above2, above1, here, below1, below2, mask),
                sorted_column(image, right2, above2, above1, here, below1, below2, mask),
            )
            tl.store(of_pair + (1 - side) * side_size + field * LINE + here + centre, median, mask=mask)


# --------------------------------------------------------------------------------------------------- linearisation


@triton.jit(do_not_specialize=["height", "width", "source_pitch", "pitch"])
def image_gradients(image, moved, height, width, source_pitch, pitch, BLOCK: tl.constexpr):
    """Grey levels and central differences, edge pixels repeated. Grid: (blocks of pixels, pairs)."""
    n, pixel = tl.program_id(1), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = pixel // pitch, pixel % pitch
    mask = (y < height) & (x < width)
    image += start_of(n, height, source_pitch, 1)
    row, left, right = y * source_pitch, tl.maximum(x - 1, 0), tl.minimum(x + 1, width - 1)
    above, below = tl.maximum(y - 1, 0) * source_pitch, tl.minimum(y + 1, height - 1) * source_pitch
    grey = tl.load(image + row + x, mask=mask, other=0).to(tl.float32)
    west = tl.load(image + row + left, mask=mask, other=0).to(tl.float32)
    east = tl.load(image + row + right, mask=mask, other=0).to(tl.float32)
    north = tl.load(image + above + x, mask=mask, other=0).to(tl.float32)
    south = tl.load(image + below + x, mask=mask, other=0).to(tl.float32)
    target = moved + start_of(n, height, pitch, MOVED_FIELDS) + y * pitch * MOVED_FIELDS + offset_of(x, MOVED_FIELDS)
    tl.store(target, grey, mask=mask)
    tl.store(target + LINE, 0.5 * (east - west), mask=mask)
    tl.store(target + 2 * LINE, 0.5 * (south - north), mask=mask)


@triton.jit
def cubic_weight(t, TAP: tl.constexpr, A: tl.constexpr):
    """Keys' cubic kernel at tap 0..3 around a sample that lies t past tap 1."""
    s = 1.0 - t
    if TAP == 0:
        weight = A * t * s * s
    elif TAP == 1:
        weight = ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0
    elif TAP == 2:
        weight = ((A + 2.0) * s - (A + 3.0)) * s * s + 1.0
    else:
        weight = A * s * t * t
    return weight


@triton.jit(do_not_specialize=["capacity", "height", "width", "reference_pitch", "pitch"])
def linearise(
    reference,
    moved,
    flow,
    state,
    linear,
    capacity,
    height,
    width,
    reference_pitch,
    pitch,
    CLAMPED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Warp the second image and its gradient by the flow and expand about it. Grid: (blocks of pixels, pairs).

    CLAMPED, as OpenCV CUDA: a = -0.5, edge pixels repeat outside the image and weights are renormalised; otherwise
    a = -0.75 and zeros outside.
    """
    n, pixel = tl.program_id(1), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = pixel // pitch, pixel % pitch
    mask = (y < height) & (x < width)
    side = tl.load(state + FLOW_SIDE * capacity + n)
    flow += side * start_of(capacity, height, pitch, FLOW_FIELDS) + start_of(n, height, pitch, FLOW_FIELDS)
    here = flow + y * pitch * FLOW_FIELDS + offset_of(x, FLOW_FIELDS)
    u1, u2 = tl.load(here, mask=mask, other=0.0), tl.load(here + LINE, mask=mask, other=0.0)

    px = tl.minimum(tl.maximum(x + u1, -4.0), width + 2.0)  # all that is further out sees the same
    py = tl.minimum(tl.maximum(y + u2, -4.0), height + 2.0)
    left, above = tl.floor(px), tl.floor(py)
    tx, ty = px - left, py - above
    A: tl.constexpr = -0.5 if CLAMPED else -0.75
    moved += start_of(n, height, pitch, MOVED_FIELDS)
    zeros = tl.zeros_like(u1)
    grey, ix, iy, total = zeros, zeros, zeros, zeros
    for row in tl.static_range(4):
        tap_y = above.to(tl.int32) + (row - 1)
        row_start = tl.minimum(tl.maximum(tap_y, 0), height - 1) * pitch * MOVED_FIELDS
        row_weight = cubic_weight(ty, row, A)
        for column in tl.static_range(4):
            tap_x = left.to(tl.int32) + (column - 1)
            tap = moved + row_start + offset_of(tl.minimum(tl.maximum(tap_x, 0), width - 1), MOVED_FIELDS)
            weight = row_weight * cubic_weight(tx, column, A)
            seen = mask
            if not CLAMPED:
                seen = mask & (tap_y >= 0) & (tap_y < height) & (tap_x >= 0) & (tap_x < width)
            grey += weight * tl.load(tap, mask=seen, other=0.0)
            ix += weight * tl.load(tap + LINE, mask=seen, other=0.0)
            iy += weight * tl.load(tap + 2 * LINE, mask=seen, other=0.0)
            total += weight
    if CLAMPED:
        grey, ix, iy = grey / total, ix / total, iy / total
    first = reference + start_of(n, height, reference_pitch, 1) + y * reference_pitch + x
    grey -= ix * u1 + iy * u2 + tl.load(first, mask=mask, other=0).to(tl.float32)
    target = (
        linear + start_of(n, height, pitch, LINEAR_FIELDS) + y * pitch * LINEAR_FIELDS + offset_of(x, LINEAR_FIELDS)
    )
    tl.store(target, ix, mask=mask)
    tl.store(target + LINE, iy, mask=mask)
    tl.store(target + 2 * LINE, grey, mask=mask)


# ------------------------------------------------------------------------------------------------------- resampling


@triton.jit(do_not_specialize=["capacity", "source_height", "source_width", "source_pitch", "height", "width", "pitch"])
def resize(
    source,
    target,
    state,
    capacity,
    source_height,
    source_width,
    source_pitch,
    height,
    width,
    pitch,
    scale_y,
    scale_x,
    gain,
    FIELDS: tl.constexpr,
    HALF_PIXEL: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Bilinear resampling of images or, with FIELDS = 2, of the current side of the flow; times `gain`.

    A scale is source pixels per target pixel. Grid: (blocks of pixels, pairs).
    """
    n, pixel = tl.program_id(1), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = pixel // pitch, pixel % pitch
    mask = (y < height) & (x < width)
    shift: tl.constexpr = 0.5 if HALF_PIXEL else 0.0
    sx = tl.minimum(tl.maximum((x + shift) * scale_x - shift, 0.0), source_width - 1.0)
    sy = tl.minimum(tl.maximum((y + shift) * scale_y - shift, 0.0), source_height - 1.0)
    left, above = tl.floor(sx).to(tl.int32), tl.floor(sy).to(tl.int32)
    tx, ty = sx - left, sy - above
    upper = above * source_pitch * FIELDS
    lower = tl.minimum(above + 1, source_height - 1) * source_pitch * FIELDS
    west = offset_of(left, FIELDS)
    east = offset_of(tl.minimum(left + 1, source_width - 1), FIELDS)
    source += start_of(n, source_height, source_pitch, FIELDS)
    if FIELDS == FLOW_FIELDS:
        source += tl.load(state + FLOW_SIDE * capacity + n) * start_of(capacity, source_height, source_pitch, FIELDS)
    target += start_of(n, height, pitch, FIELDS) + y * pitch * FIELDS + offset_of(x, FIELDS)
    for field in tl.static_range(FIELDS):
        corner = source + field * LINE
        a = tl.load(corner + upper + west, mask=mask, other=0).to(tl.float32)
        b = tl.load(corner + upper + east, mask=mask, other=0).to(tl.float32)
        c = tl.load(corner + lower + west, mask=mask, other=0).to(tl.float32)
        d = tl.load(corner + lower + east, mask=mask, other=0).to(tl.float32)
        a += tx * (b - a)
        c += tx * (d - c)
        tl.store(target + field * LINE, gain * (a + ty * (c - a)), mask=mask)
