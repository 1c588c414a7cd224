"""Triton kernels of TV-L1 optical flow; `triton_engine` owns the buffers and launches them.

Fields. The F fields of a pair lie line by line: 32 pixels of the first field, the same 32 pixels of the second, and so
on, then the next 32 pixels of the row. A warp thus reads whole 128-byte lines, and the fields of a pixel are a constant
number of floats apart, so that one address serves all of them. Rows are padded to `pitch`, a multiple of 32. F is 2 for
the flow (u1, u2), 4 for its dual variables (p11, p12, p21, p22), 3 for the linearisation (d/dx, d/dy, rho at u = 0) and
for the second image (grey, d/dx, d/dy), 1 for images, which may have any pitch.

Two buffers, "sides", take turns in holding the flow, two more the dual variables, because a program reads pixels that
another one updates in the same launch. `state` (2, 5, capacity) int32 says of each pair whether it is ACTIVE, how many
iterations (COUNT) it has done since the last restart, which sides are current, and how many iterations its LAST launch
did; it and `previous` come twice as well: a launch reads one slot and writes the other.

A pair's numbers never depend on its batch: all tiles and sums are laid out by the height and width alone, and no
integer that a batch could change is specialised on.
"""

# Annotations of kernel arguments would only repeat "pointer" and "scalar": triton infers them.
# Nor does it matter to triton that tuples grow.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"

import triton
import triton.language as tl

LINE = tl.constexpr(32)  # pixels of a line: a warp
FLOW_FIELDS, DUAL_FIELDS, LINEAR_FIELDS, MOVED_FIELDS = (tl.constexpr(k) for k in (2, 4, 3, 3))
ACTIVE, COUNT, FLOW_SIDE, DUAL_SIDE, LAST, WORDS = (tl.constexpr(k) for k in range(6))  # words of `state`, their number
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
def examine(
    word, previous, errors, capacity, tiles, stop, LAZY: tl.constexpr, STEPS: tl.constexpr, PARTIALS: tl.constexpr
):
    """True if a pair, active so far, goes on, from the partial sums of its last launch, always added in one order.

    LAZY is OpenCV CUDA's test: odd iterations only, and only where `previous` is under the threshold, which is the last
    sum that was taken less the threshold for every iteration since. Returns also after how many iterations of the last
    launch the pair goes on or has converged, and the new `previous`.
    """
    last = tl.load(word + LAST * capacity)
    count = tl.load(word + COUNT * capacity) - last
    now = tl.load(previous)
    partials = tl.arange(0, PARTIALS)
    active, kept = last >= 0, last * 0
    for k in tl.static_range(STEPS):
        done = active & (k < last)
        error = tl.sum(tl.load(errors + k * tiles + partials, mask=(partials < tiles) & done, other=0.0), axis=0)
        tested = done
        if LAZY:
            tested = done & ((count + k) % 2 == 1) & (now < stop)
        active = active & (error > tl.where(tested, stop, -1.0))
        now = tl.where(tested, error, tl.where(done, now - stop, now))
        kept += tl.cast(done, tl.int32)
    return active, kept, now


@triton.jit(do_not_specialize=["slot", "capacity"])
def conclude(state, previous, order, remaining, slot, capacity, LAZY: tl.constexpr):
    """After the launches of a loop: the state of its pairs goes from `slot` to slot 0. One program a pair.

    LAZY goes on counting in the next loop; otherwise the count restarts.
    """
    if tl.program_id(0) < tl.load(remaining):
        n = tl.load(order + tl.program_id(0))
        word = state + slot * WORDS * capacity + n
        for k in tl.static_range(WORDS):
            value = tl.load(word + k * capacity)
            if k == COUNT and not LAZY:
                value *= 0
            tl.store(state + k * capacity + n, value)
        tl.store(previous + n, tl.load(previous + slot * capacity + n))


@triton.jit(do_not_specialize=["capacity"])
def compact(state, order, remaining, capacity, BLOCK: tl.constexpr):
    """`order`: the active pairs, ascending; `remaining`: their number. One program."""
    lanes = tl.arange(0, BLOCK)
    active = tl.load(state + ACTIVE * capacity + lanes, mask=lanes < capacity, other=0)
    tl.store(order + tl.cumsum(active, axis=0) - active, lanes, mask=active != 0)
    tl.store(remaining, tl.sum(active, axis=0))


# ---------------------------------------------------------------------------------------------- primal-dual iteration


@triton.jit
def backward_difference(p, lanes, has_left):
    """Differences (32, 2) of a row's values to their left neighbours; the first one's is wrong unless it has none.

    `has_left` is 1, but 0 for the first pixel; to multiply costs nothing, since a product and a sum are one operation.
    """
    even, odd = tl.split(p)
    return tl.join(even - has_left * tl.gather(odd, tl.maximum(lanes - 1, 0), 0), odd - even)


@triton.jit
def forward_difference(u, lanes):
    """Differences (32, 2) of a row's values to their right neighbours; the last one's is wrong."""
    even, odd = tl.split(u)
    return tl.join(odd - even, tl.gather(even, tl.minimum(lanes + 1, LINE - 1), 0) - odd)


@triton.jit
def ascend(px, py, gx, gy):
    """Dual variables moved by the scaled gradient (gx, gy) of u and reprojected onto the unit disc.

    1 / sqrt is one instruction of a GPU, where a root or a quotient are six each.
    """
    square = tl.maximum(gx * gx + gy * gy, 1e-30)
    root = tl.rsqrt(1.0 + square * tl.rsqrt(square))
    shrink = root * root
    return (px + gx) * shrink, (py + gy) * shrink


@triton.jit
def iterate_row(u, p, linear, above_u, above_p, lanes, has_left, tau_right, tau_down, lambda_theta, theta):
    """One iteration of u of a row and of p of the row above it, and the squared updates of u.

    `u`, `p` and `linear` are the row's, `above_p` is the p of the row above, all before this iteration; `above_u` is
    the u of the row above after it. `tau_right` and `tau_down` are tau / theta, or 0 where there is no such neighbour.
    """
    u1, u2 = u
    p11, p12, p21, p22 = p
    ix, iy, constant, inverse = linear
    above_u1, above_u2 = above_u
    above11, above12, above21, above22 = above_p
    rho = constant + ix * u1 + iy * u2
    step = tl.minimum(tl.maximum(-rho * inverse, -lambda_theta), lambda_theta)
    d1 = step * ix + theta * (backward_difference(p11, lanes, has_left) + (p12 - above12))
    d2 = step * iy + theta * (backward_difference(p21, lanes, has_left) + (p22 - above22))
    u1 += d1
    u2 += d2
    gx1, gx2 = tau_right * forward_difference(above_u1, lanes), tau_right * forward_difference(above_u2, lanes)
    new11, new12 = ascend(above11, above12, gx1, tau_down * (u1 - above_u1))
    new21, new22 = ascend(above21, above22, gx2, tau_down * (u2 - above_u2))
    return (u1, u2), (new11, new12, new21, new22), d1 * d1 + d2 * d2


@triton.jit
def pixel_offsets(x, FIELDS: tl.constexpr):
    """Offsets (32, 2) of the pixels x and x + 1, which lie side by side, as x is even."""
    offsets = offset_of(x, FIELDS)[:, None] + tl.arange(0, 2)[None, :]
    return tl.max_contiguous(tl.multiple_of(offsets, [1, 2]), [1, 2])


@triton.jit
def iterate_tiles(
    flow,
    new_flow,
    dual,
    new_dual,
    linear,
    errors,
    strip,
    strips,
    first,
    stop,
    tiles,
    height,
    width,
    pitch,
    lambda_theta,
    theta,
    tau_theta,
    ROWS: tl.constexpr,
    STEPS: tl.constexpr,
    HALO: tl.constexpr,
):
    """STEPS iterations of tiles: the rows first..stop - 1 of a strip of 64 columns, of which the inner ones count.

    A warp walks them down a row at a time, and the rows stay in registers: when iteration k computes u of a row and p
    of the row above, iteration k + 1 follows one row behind. Each iteration loses a column on either side, as u wants
    the p to the left and p the u to the right, and a row above and below; so more is read than written.
    The sum of squared updates of each iteration and tile goes to errors (STEPS, tiles).
    """
    lanes = tl.arange(0, LINE)
    start = strip * (2 * LINE - 2 * HALO)
    even = start + 2 * lanes
    x = even[:, None] + tl.arange(0, 2)[None, :]
    has_left = tl.where(lanes > 0, 1.0, 0.0)
    tau_right = tl.where(x + 1 < width, tau_theta, 0.0)
    own = ((strip == 0) | (2 * lanes >= HALO)) & ((strip == strips - 1) | (2 * lanes < 2 * LINE - HALO))
    own = own & (even < width)  # both pixels or none, so that two are stored at once; one of them may be padding
    inside = tl.minimum(even, pitch - 2)
    flow_here, dual_here, linear_here = (
        pixel_offsets(inside, FLOW_FIELDS),
        pixel_offsets(inside, DUAL_FIELDS),
        pixel_offsets(inside, LINEAR_FIELDS),
    )

    zeros = tl.zeros((LINE, 2), tl.float32)
    above = (((zeros, zeros), (zeros, zeros, zeros, zeros), (zeros, zeros, zeros, zeros)),) * STEPS
    squares = (zeros,) * STEPS
    y = tl.maximum(first - STEPS, 0)
    for _ in range(y, stop + STEPS):
        row = tl.minimum(y, height - 1) * pitch
        at_flow, at_dual, at_linear = (
            flow + row * FLOW_FIELDS + flow_here,
            dual + row * DUAL_FIELDS + dual_here,
            linear + row * LINEAR_FIELDS + linear_here,
        )
        u = (tl.load(at_flow), tl.load(at_flow + LINE))
        p = (
            tl.load(at_dual),
            tl.load(at_dual + LINE),
            tl.load(at_dual + 2 * LINE),
            tl.load(at_dual + 3 * LINE),
        )
        ix, iy, constant = tl.load(at_linear), tl.load(at_linear + LINE), tl.load(at_linear + 2 * LINE)
        squared = ix * ix + iy * iy
        inverse = tl.where(squared > SMALLEST_GRADIENT, 1.0 / squared, 0.0)  # cheaper than another 4 bytes to be read
        here = (ix, iy, constant, inverse)

        next_above, next_squares = (), ()
        for k in tl.static_range(STEPS):
            above_u, above_p, above_linear = above[k]
            r = y - k
            new_u, new_p, square = iterate_row(
                u,
                p,
                here,
                above_u,
                above_p,
                lanes,
                has_left,
                tau_right,
                tl.where((r > 0) & (r < height), tau_theta, 0.0),
                lambda_theta,
                theta,
            )
            next_squares += (squares[k] + tl.where((r >= first) & (r < stop), 1.0, 0.0) * square,)
            next_above += ((new_u, p, here),)
            if k == STEPS - 1:
                at = new_flow + r * pitch * FLOW_FIELDS + flow_here
                mask = (own & (r >= first) & (r < stop))[:, None]
                tl.store(at, new_u[0], mask=mask)
                tl.store(at + LINE, new_u[1], mask=mask)
                at = new_dual + (r - 1) * pitch * DUAL_FIELDS + dual_here
                mask = (own & (r > first) & (r <= stop))[:, None]
                for field in tl.static_range(DUAL_FIELDS):
                    tl.store(at + field * LINE, new_p[field], mask=mask)
            u, p, here = above_u, new_p, above_linear
        above, squares = next_above, next_squares

        if ((y + 1) % ROWS < STEPS) | (y + 1 >= height):  # some iteration ends a tile
            left = ()
            for k in tl.static_range(STEPS):
                end = y - k + 1
                ends = (end % ROWS == 0) | (end == height)
                total = tl.sum(tl.sum(tl.where(own[:, None] & (x < width), squares[k], 0.0), axis=1), axis=0)
                partial = errors + k * tiles + (end - 1) // ROWS * strips + strip
                tl.store(partial, total, mask=ends & (end > first) & (end <= stop))
                left += (tl.where(ends, 0.0, squares[k]),)
            squares = left
        y = tl.minimum(y + 1, height + STEPS)  # never so large, but unlike y + 1 not computed in 64 bits


@triton.jit(do_not_specialize=["slot", "filtered", "capacity", "height", "width", "pitch", "walk", "limit"])
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
    walk,
    limit,
    stop,
    lambda_theta,
    theta,
    tau_theta,
    LAZY: tl.constexpr,
    ROWS: tl.constexpr,
    STEPS: tl.constexpr,
    HALO: tl.constexpr,
    PARTIALS: tl.constexpr,
):
    """STEPS primal-dual iterations of u and p of all active pairs, fewer for those that come to `limit`.

    The programs, each a warp, share out the tiles of the pairs in `order`: up to `walk` tiles of a strip at once, fewer
    where some programs would have none. What is computed and added up does not depend on it. Each program first asks
    whether its pair has converged; all find the same, and the pair's first one writes the pair's next state. If a pair
    converged in the midst of its last launch, this one repeats as many iterations as it should have done: they start
    from the sides that are not current, which still hold what the last launch started from. `filtered`: the median has
    just been written to the side that is not current, and the iterations start from there; no pair may await a
    repetition then.

    The sums of squared updates go to errors (2, capacity, STEPS, tiles), to the half of the side that p goes to.
    """
    pitch = pitch // LINE * LINE  # tells the compiler what divides it, so that two pixels are loaded at once
    strips = tl.cdiv(tl.maximum(width - 2 * HALO, 1), 2 * LINE - 2 * HALO)
    tiles = strips * tl.cdiv(height, ROWS)
    flow_side_size, dual_side_size = (
        start_of(capacity, height, pitch, FLOW_FIELDS),
        start_of(capacity, height, pitch, DUAL_FIELDS),
    )
    pairs = tl.load(remaining)
    rows = ROWS * tl.maximum(tl.minimum(pairs * tiles // tl.num_programs(0), walk), 1)
    walks = strips * tl.cdiv(height, rows)
    for item in range(tl.program_id(0), pairs * walks, tl.num_programs(0)):
        n, part = tl.load(order + item // walks), item % walks
        word = state + slot * WORDS * capacity + n
        next_word = state + (1 - slot) * WORDS * capacity + n
        flow_side, dual_side = tl.load(word + FLOW_SIDE * capacity), tl.load(word + DUAL_SIDE * capacity)
        if tl.load(word + ACTIVE * capacity) != 0:
            half = errors + (tl.cast(dual_side, tl.int64) * capacity + n) * STEPS * tiles
            active, kept, now = examine(
                word, previous + slot * capacity + n, half, capacity, tiles, stop, LAZY, STEPS, PARTIALS
            )
            count, last = tl.load(word + COUNT * capacity), tl.load(word + LAST * capacity)
            again = kept < last
            steps = tl.where(active, tl.minimum(limit - count, STEPS), tl.where(again, kept, 0))
            flow_source = flow_side ^ tl.where(again, 1, filtered)
            dual_source = dual_side ^ tl.cast(again, tl.int32)
            if part == 0:
                tl.store(next_word + ACTIVE * capacity, tl.cast(active, tl.int32))
                tl.store(next_word + COUNT * capacity, count + steps)
                tl.store(next_word + LAST * capacity, steps)
                tl.store(next_word + FLOW_SIDE * capacity, tl.where(steps > 0, 1 - flow_source, flow_side))
                tl.store(next_word + DUAL_SIDE * capacity, tl.where(steps > 0, 1 - dual_source, dual_side))
                tl.store(previous + (1 - slot) * capacity + n, now)
            half = errors + (tl.cast(1 - dual_side, tl.int64) * capacity + n) * STEPS * tiles
            flow_of_pair, dual_of_pair = (
                flow + start_of(n, height, pitch, FLOW_FIELDS),
                dual + start_of(n, height, pitch, DUAL_FIELDS),
            )
            for k in tl.static_range(1, STEPS + 1):
                if steps == k:
                    first = part // strips * rows
                    iterate_tiles(
                        flow_of_pair + flow_source * flow_side_size,
                        flow_of_pair + (1 - flow_source) * flow_side_size,
                        dual_of_pair + dual_source * dual_side_size,
                        dual_of_pair + (1 - dual_source) * dual_side_size,
                        linear + start_of(n, height, pitch, LINEAR_FIELDS),
                        half,
                        part % strips,
                        strips,
                        first,
                        tl.minimum(first + rows, height),
                        tiles,
                        height,
                        width,
                        pitch,
                        lambda_theta,
                        theta,
                        tau_theta,
                        ROWS,
                        k,
                        HALO,
                    )
        elif part == 0:
            tl.store(next_word + ACTIVE * capacity, 0)
            tl.store(next_word + COUNT * capacity, 0)
            tl.store(next_word + LAST * capacity, 0)
            tl.store(next_word + FLOW_SIDE * capacity, flow_side)
            tl.store(next_word + DUAL_SIDE * capacity, dual_side)
            tl.store(previous + (1 - slot) * capacity + n, 0.0)


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
def sort4(a, b, c, d):
    a, b = sort2(a, b)
    c, d = sort2(c, d)
    a, c = sort2(a, c)
    b, d = sort2(b, d)
    b, c = sort2(b, c)
    return a, b, c, d


@triton.jit
def insert(ascending, e):
    """Five values, ascending, from four ascending ones and another."""
    a, b, c, d = ascending
    return (
        tl.minimum(a, e),
        tl.maximum(a, tl.minimum(b, e)),
        tl.maximum(b, tl.minimum(c, e)),
        tl.maximum(c, tl.minimum(d, e)),
        tl.maximum(d, e),
    )


@triton.jit
def median_of_sorted_rows(v, w, x, y, z):
    """Median of five ascending rows of five whose columns had been sorted before, and so still are.

    The cell of column i and row j has at least (i + 1)(j + 1) - 1 cells not above it and (5 - i)(5 - j) - 1 not below,
    so that only 13 cells can hold the median, and it is theirs; 17 exchanges find it. What they do not need is not
    computed.
    """
    _, _, _, a, b = v
    _, _, c, d, e = w
    _, f, g, h, _ = x
    i, j, k, _, _ = y
    m, o, _, _, _ = z
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


@triton.jit
def medians_of_columns(even, odd, lanes):
    """5x5 medians of the two pixels of each lane from their columns of five; the first and last lane's are wrong.

    The windows of the two pixels have four columns in common.
    """
    even, odd = sort5(even[0], even[1], even[2], even[3], even[4]), sort5(odd[0], odd[1], odd[2], odd[3], odd[4])
    left, right = tl.maximum(lanes - 1, 0), tl.minimum(lanes + 1, LINE - 1)
    even_rows, odd_rows = (), ()
    for j in tl.static_range(5):
        common = sort4(tl.gather(odd[j], left, 0), even[j], odd[j], tl.gather(even[j], right, 0))
        even_rows += (insert(common, tl.gather(even[j], left, 0)),)
        odd_rows += (insert(common, tl.gather(odd[j], right, 0)),)
    return (
        median_of_sorted_rows(even_rows[0], even_rows[1], even_rows[2], even_rows[3], even_rows[4]),
        median_of_sorted_rows(odd_rows[0], odd_rows[1], odd_rows[2], odd_rows[3], odd_rows[4]),
    )


@triton.jit(do_not_specialize=["capacity", "height", "width", "pitch"])
def median_5x5(flow, state, order, remaining, capacity, height, width, pitch, ROWS: tl.constexpr):
    """5x5 median of both flow fields of all active pairs, edge pixels repeated, from the current side to the other.

    Each program, a warp, walks ROWS rows down a strip of 64 columns, of which all but two on either side count.
    """
    useful: tl.constexpr = 2 * LINE - 4
    strips = tl.cdiv(width, useful)
    walks = strips * tl.cdiv(height, ROWS)
    side_size = start_of(capacity, height, pitch, FLOW_FIELDS)
    lanes = tl.arange(0, LINE)
    for item in range(tl.program_id(0), tl.load(remaining) * walks, tl.num_programs(0)):
        n, part = tl.load(order + item // walks), item % walks
        side = tl.load(state + FLOW_SIDE * capacity + n)
        source = flow + side * side_size + start_of(n, height, pitch, FLOW_FIELDS)
        target = flow + (1 - side) * side_size + start_of(n, height, pitch, FLOW_FIELDS)
        x = part % strips * useful - 2 + 2 * lanes
        first = part // strips * ROWS
        even = offset_of(tl.minimum(tl.maximum(x, 0), width - 1), FLOW_FIELDS)
        odd = offset_of(tl.minimum(tl.maximum(x + 1, 0), width - 1), FLOW_FIELDS)
        own = (lanes > 0) & (lanes < LINE - 1)
        for field in tl.static_range(FLOW_FIELDS):
            even_column, odd_column = (), ()
            for k in tl.static_range(5):
                row = source + tl.minimum(tl.maximum(first - 2 + k, 0), height - 1) * pitch * FLOW_FIELDS + field * LINE
                even_column += (tl.load(row + even),)
                odd_column += (tl.load(row + odd),)
            for y in range(first, tl.minimum(first + ROWS, height)):
                row = source + tl.minimum(y + 3, height - 1) * pitch * FLOW_FIELDS + field * LINE
                next_even, next_odd = tl.load(row + even), tl.load(row + odd)
                even_median, odd_median = medians_of_columns(even_column, odd_column, lanes)
                row = target + y * pitch * FLOW_FIELDS + field * LINE
                tl.store(row + even, even_median, mask=own & (x < width))
                tl.store(row + odd, odd_median, mask=own & (x + 1 < width))
                even_column = (even_column[1], even_column[2], even_column[3], even_column[4], next_even)
                odd_column = (odd_column[1], odd_column[2], odd_column[3], odd_column[4], next_odd)


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
