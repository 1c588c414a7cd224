"""Duality-based TV-L1 optical flow on the CPU, compiled by numba: OpenCV's numbers, over 35 times as fast on each core.

After Zach, Pock and Bischof, "A duality based approach for realtime TV-L1 optical flow" (DAGM 2007), and Sanchez,
Meinhardt-Llopis and Facciolo, "TV-L1 optical flow estimation" (IPOL 2013), with the choices of OpenCV's CPU
implementation: cubic warps with a = -0.75 and zeros outside, a 5x5 median before each outer loop, the stop test after
every iteration; or with those of its CUDA implementation (`TVL1Parameters.semantics`). `u` is the flow, `p` its dual
variables, `rho` the linearised brightness difference.

How it gets fast. Images are cut into vertical strips of at most `STRIP` pixels; in the workspace the ten fields of one
row of a strip follow each other at offsets known at compile time, so that LLVM proves the row loops free of aliasing
and vectorises them, on whole cache lines and without remainders, and all that a pixel needs lies in the first-level
cache. One pass updates u of a row and p of the row above. Far from the stop threshold four iterations run as one
wavefront down the image. Each thread keeps its memory from pair to pair. Pairs run in parallel, pixels do not: no
result depends on the number of threads.

How it compiles fast. Arrays are copied element by element: numba checks the shapes of what is assigned to a slice, and
the code that would word the error takes seconds to compile.

All kernels are in one file because numba invalidates its on-disk cache by the file of the entry point only. The cache
lies beside this file, or in NUMBA_CACHE_DIR, which should be one folder for each kind of CPU where nodes share a file
system.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from stp.flow.parameters import TVL1Parameters
from stp.system.compilation import compiled

kernel = njit(fastmath=True, error_model="numpy")
pixel_kernel = njit(fastmath=True, error_model="numpy", forceinline=True)  # inlined, so that loops over a row vectorise

# Workspace: (strips, rows + 1, fields, FIELD) float32, used flat; row 0 of a strip is zero: p above the image.
STRIP = 352  # most pixels of a strip: 340 px, the usual width, is one strip
FIELD = np.uintp(368)  # floats from one field of a row to the next: an odd number of cache lines, so that fields spread
LEFT = np.uintp(16)  # floats left of pixel 0; the last one holds the pixel left of the strip, or zero
LINE = np.uintp(16)  # floats of a cache line, the widest vector; pixel 0 of every field starts one
FIELDS = 10
ROW = np.uintp(FIELDS * int(FIELD))
U1, U2, P11, P12, P21, P22, IX, IY, INVERSE, RHO = (np.uintp(k * int(FIELD)) for k in range(FIELDS))
ONE, TWO, THREE, FOUR = (np.uintp(k) for k in range(1, 5))  # numba makes int64 + uint64 a float

BORDER = 6  # pixels around an image to be warped: every tap of a clamped sample outside the image falls on them
WAVEFRONT = 4  # iterations in one sweep...
MARGIN = np.float32(8)  # ... where the update, falling at its rate, stays this many times above the stop threshold
LARGEST = np.finfo(np.float32).max
SMALLEST_GRADIENT = np.float32(np.finfo(np.float32).eps)  # squared; below, the data term is switched off as in OpenCV


class Scalars(NamedTuple):
    """The parameters as the kernels want them."""

    lambda_theta: np.float32
    theta: np.float32
    tau_theta: np.float32  # tau / theta, the dual step
    epsilon_squared: float
    warps: int
    outer: int
    inner: int
    median: bool
    lazy_stop: bool  # as in opencv-cuda
    scale_step: float
    cubic: np.float32  # Keys' a
    repeat_edges: bool  # outside of the image to be warped, else zero
    centre: float  # of a pixel, in resizing: .5 or 0


# ---------------------------------------------------------------------------------------------- primal-dual iteration


@pixel_kernel
def threshold(
    rho: np.float32, ix: np.float32, iy: np.float32, inverse: np.float32, lambda_theta: np.float32
) -> tuple[np.float32, np.float32]:
    """Data term: the step along the image gradient that cancels rho, at most lambda * theta times the gradient."""
    step = min(max(-rho * inverse, -lambda_theta), lambda_theta)
    return step * ix, step * iy


@pixel_kernel
def ascend(px: np.float32, py: np.float32, gx: np.float32, gy: np.float32) -> tuple[np.float32, np.float32]:
    """Dual variables moved by the scaled gradient (gx, gy) of u and reprojected onto the unit disc."""
    shrink = np.float32(1) / (np.float32(1) + np.sqrt(gx * gx + gy * gy))
    return (px + gx) * shrink, (py + gy) * shrink


@pixel_kernel
def update_flow_at(
    ws: np.ndarray, i: np.uintp, p12: np.float32, p22: np.float32, lambda_theta: np.float32, theta: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """u of pixel i: thresholding plus theta times the divergence of p; p12 and p22 are those of the pixel above.

    Stores u and returns it with the squared update.
    """
    u1, u2, ix, iy = ws[i + U1], ws[i + U2], ws[i + IX], ws[i + IY]
    d1, d2 = threshold(ws[i + RHO] + ix * u1 + iy * u2, ix, iy, ws[i + INVERSE], lambda_theta)
    d1 += theta * ((ws[i + P11] - ws[i + P11 - ONE]) + (ws[i + P12] - p12))
    d2 += theta * ((ws[i + P21] - ws[i + P21 - ONE]) + (ws[i + P22] - p22))
    u1, u2 = u1 + d1, u2 + d2
    ws[i + U1], ws[i + U2] = u1, u2
    return u1, u2, d1 * d1 + d2 * d2


@pixel_kernel
def update_dual_at(ws: np.ndarray, j: np.uintp, below1: np.float32, below2: np.float32, tau_theta: np.float32) -> None:
    """p of pixel j; below1 and below2 are u of the pixel below."""
    u = ws[j + U1]
    ws[j + P11], ws[j + P12] = ascend(
        ws[j + P11], ws[j + P12], tau_theta * (ws[j + U1 + ONE] - u), tau_theta * (below1 - u)
    )
    u = ws[j + U2]
    ws[j + P21], ws[j + P22] = ascend(
        ws[j + P21], ws[j + P22], tau_theta * (ws[j + U2 + ONE] - u), tau_theta * (below2 - u)
    )


@pixel_kernel
def update_flow_and_dual_at(
    ws: np.ndarray, i: np.uintp, j: np.uintp, lambda_theta: np.float32, theta: np.float32, tau_theta: np.float32
) -> np.float32:
    """u of pixel i, then p of j above, which the divergence needs as it was before. Returns the squared update."""
    u1, u2, squared = update_flow_at(ws, i, ws[j + P12], ws[j + P22], lambda_theta, theta)
    update_dual_at(ws, j, u1, u2, tau_theta)
    return squared


# Rows are updated in whole vectors: what lies between the last pixel of a strip and the end of its last vector is
# computed like pixels, but counts in no error, and no pixel reads it.


@kernel
def update_flow(
    ws: np.ndarray, row: np.uintp, width: np.uintp, lambda_theta: np.float32, theta: np.float32
) -> np.float32:
    """u of the first row, above which p is zero. Returns the sum of squared updates."""
    error = np.float32(0)
    for x in range(width):
        error += update_flow_at(ws, row + x, np.float32(0), np.float32(0), lambda_theta, theta)[2]
    return error


@kernel
def update_flow_and_dual(
    ws: np.ndarray, row: np.uintp, width: np.uintp, lambda_theta: np.float32, theta: np.float32, tau_theta: np.float32
) -> np.float32:
    """u of a row and p of the row above. Returns the sum of squared updates."""
    above = row - ROW
    error = np.float32(0)
    whole = width // LINE * LINE
    for x in range(whole):
        error += update_flow_and_dual_at(ws, row + x, above + x, lambda_theta, theta, tau_theta)
    if whole < width:
        rest = np.int32(width - whole)
        for x in range(LINE):
            squared = update_flow_and_dual_at(ws, row + whole + x, above + whole + x, lambda_theta, theta, tau_theta)
            error += squared if np.int32(x) < rest else np.float32(0)
    return error


@kernel
def update_dual_last(ws: np.ndarray, row: np.uintp, width: np.uintp, tau_theta: np.float32) -> None:
    """p of the last row, where the vertical gradient of u is zero."""
    for x in range(width):
        update_dual_at(ws, row + x, ws[row + x + U1], ws[row + x + U2], tau_theta)


@pixel_kernel
def row_start(strip: int, y: int, height: int) -> np.uintp:
    """Offset of pixel 0 of a row in the workspace; y = -1 is the row of zeros above the image."""
    return np.uintp(strip * (height + 1) + y + 1) * ROW + LEFT


@kernel
def exchange_halos(ws: np.ndarray, y: int, height: int, edges: np.ndarray) -> None:
    """Give each strip its neighbours' u right of row y and p left of row y - 1, of row y as well if it is the last."""
    last = len(edges) - 2
    for s in range(last + 1):
        end = row_start(s, y, height) + np.uintp(edges[s + 1] - edges[s])
        source = row_start(s + 1, y, height) if s < last else end - ONE  # at the image's edge: no gradient
        ws[end + U1], ws[end + U2] = ws[source + U1], ws[source + U2]
    for s in range(1, last + 1):
        for r in range(max(y - 1, 0), y + 1 if y == height - 1 else y):
            start = row_start(s, r, height) - ONE
            source = row_start(s - 1, r, height) + np.uintp(edges[s] - edges[s - 1] - 1)
            ws[start + P11], ws[start + P21] = ws[source + P11], ws[source + P21]


@kernel
def iterate(
    ws: np.ndarray, height: int, edges: np.ndarray, iterations: int, error: np.float32, scalars: Scalars
) -> tuple[np.float32, np.float32]:
    """Primal-dual iterations in one sweep down the image, each a row behind the one before.

    `error` is the sum of squared updates of the iteration before the sweep; returns those of its last two iterations.
    """
    before, last = error if iterations == 1 else np.float32(0), np.float32(0)
    lambda_theta, theta, tau_theta = scalars.lambda_theta, scalars.theta, scalars.tau_theta
    for front in range(height + iterations - 1):
        for k in range(max(0, front - height + 1), min(iterations - 1, front) + 1):
            y = front - k
            row_error = np.float32(0)
            for s in range(len(edges) - 1):
                row, width = row_start(s, y, height), np.uintp(edges[s + 1] - edges[s])
                if y == 0:
                    row_error += update_flow(ws, row, width, lambda_theta, theta)
                else:
                    row_error += update_flow_and_dual(ws, row, width, lambda_theta, theta, tau_theta)
            exchange_halos(ws, y, height, edges)
            if y == height - 1:
                for s in range(len(edges) - 1):
                    update_dual_last(ws, row_start(s, y, height), np.uintp(edges[s + 1] - edges[s]), tau_theta)
                exchange_halos(ws, y, height, edges)
            if k == iterations - 1:
                last += row_error
            elif k == iterations - 2:
                before += row_error
    return before, last


# ------------------------------------------------------------------------------------------------------ 5x5 median


@pixel_kernel
def order(a: np.float32, b: np.float32) -> tuple[np.float32, np.float32]:
    return min(a, b), max(a, b)


@pixel_kernel
def sort5(
    a: np.float32, b: np.float32, c: np.float32, d: np.float32, e: np.float32
) -> tuple[np.float32, np.float32, np.float32, np.float32, np.float32]:
    a, b = order(a, b)
    d, e = order(d, e)
    c, e = order(c, e)
    c, d = order(c, d)
    b, e = order(b, e)
    a, d = order(a, d)
    a, c = order(a, c)
    b, d = order(b, d)
    b, c = order(b, c)
    return a, b, c, d, e


@pixel_kernel
def sorted_row(columns: np.ndarray, i: np.uintp) -> tuple[np.float32, np.float32, np.float32, np.float32, np.float32]:
    return sort5(columns[i], columns[i + ONE], columns[i + TWO], columns[i + THREE], columns[i + FOUR])


@pixel_kernel
def median_of_sorted_columns(columns: np.ndarray, x: np.uintp) -> np.float32:
    """Median of five sorted columns of five, those at x..x + 4.

    With the rows sorted too, cell (i, j) has at least (i + 1)(j + 1) - 1 cells below it and (5 - i)(5 - j) - 1 above,
    so that only 13 cells can hold the median, and it is theirs; 17 exchanges find it. What is unused is not compiled.
    """
    _, _, _, a3, a4 = sorted_row(columns, x)
    _, _, b2, b3, b4 = sorted_row(columns, x + FIELD)
    _, c1, c2, c3, _ = sorted_row(columns, x + TWO * FIELD)
    d0, d1, d2, _, _ = sorted_row(columns, x + THREE * FIELD)
    e0, e1, _, _, _ = sorted_row(columns, x + FOUR * FIELD)
    a4, e0 = order(a4, e0)
    a3, d0 = order(a3, d0)
    b3, d1 = order(b3, d1)
    b4, e1 = order(b4, e1)
    a4, d0 = order(a4, d0)
    b4, d1 = order(b4, d1)
    b2, c1 = order(b2, c1)
    a4, c1 = order(a4, c1)
    b3, c1 = order(b3, c1)
    b4, c2 = order(b4, c2)
    c3, d2 = order(c3, d2)
    b4, d0 = order(b4, d0)
    c3, e0 = order(c3, e0)
    c3, d0 = order(c3, d0)
    c2, d0 = order(c2, d0)
    c1, c3 = order(c1, c3)
    return order(c2, c3)[0]


@pixel_kernel
def whole_vectors(width: np.uintp) -> np.uintp:
    """Pixels of a row up to the end of its last vector."""
    return (width + LINE - ONE) // LINE * LINE


@kernel
def median_5x5(image: np.ndarray, field: np.uintp, ws: np.ndarray, edges: np.ndarray, columns: np.ndarray) -> None:
    """5x5 median of `image` (H, W), edge pixels repeated, into a field of the workspace; `columns` is scratch."""
    height, width = image.shape
    for s in range(len(edges) - 1):
        first, stop = max(edges[s] - 2, 0), min(edges[s + 1] + 2, width)
        shift = np.uintp(first - edges[s] + 2)
        for y in range(height):
            a, b, c = image[max(y - 2, 0), first:stop], image[max(y - 1, 0), first:stop], image[y, first:stop]
            d, e = image[min(y + 1, height - 1), first:stop], image[min(y + 2, height - 1), first:stop]
            for x in range(np.uintp(stop - first)):
                i = x + shift
                v = sort5(a[x], b[x], c[x], d[x], e[x])
                columns[i], columns[i + FIELD], columns[i + TWO * FIELD] = v[0], v[1], v[2]
                columns[i + THREE * FIELD], columns[i + FOUR * FIELD] = v[3], v[4]
            for k in range(5):
                start, count = k * int(FIELD), edges[s + 1] - edges[s] + 4
                if edges[s] == 0:
                    columns[start : start + 2] = columns[start + 2]
                if edges[s + 1] == width:
                    columns[start + count - 2 : start + count] = columns[start + count - 3]
            row = row_start(s, y, height) + field
            for x in range(whole_vectors(np.uintp(edges[s + 1] - edges[s]))):
                ws[row + x] = median_of_sorted_columns(columns, np.uintp(x))


@kernel
def put_flow(flow: np.ndarray, ws: np.ndarray, edges: np.ndarray) -> None:
    """Flow (2, H, W) into the workspace."""
    for y in range(flow.shape[1]):
        for s in range(len(edges) - 1):
            row, first = row_start(s, y, flow.shape[1]), edges[s]
            for x in range(np.uintp(edges[s + 1] - first)):
                ws[row + U1 + x], ws[row + U2 + x] = flow[0, y, first + x], flow[1, y, first + x]


@kernel
def take_flow(ws: np.ndarray, flow: np.ndarray, edges: np.ndarray) -> None:
    """Flow (2, H, W) out of the workspace."""
    for y in range(flow.shape[1]):
        for s in range(len(edges) - 1):
            row, first = row_start(s, y, flow.shape[1]), edges[s]
            for x in range(np.uintp(edges[s + 1] - first)):
                flow[0, y, first + x], flow[1, y, first + x] = ws[row + U1 + x], ws[row + U2 + x]


# --------------------------------------------------------------------------------------------------- linearisation


@kernel
def image_gradients(image: np.ndarray, repeat_edges: bool, packed: np.ndarray) -> None:
    """Image and its central differences into (H + 2 BORDER, W + 2 BORDER, 4): grey, d/dx, d/dy, 0.

    The border is zero or repeats the edge.
    """
    height, width = image.shape
    half = np.float32(0.5)
    packed[:] = 0
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            packed[y + BORDER, x + BORDER, 0] = image[y, x]
            packed[y + BORDER, x + BORDER, 1] = half * (image[y, right] - image[y, left])
            packed[y + BORDER, x + BORDER, 2] = half * (image[below, x] - image[above, x])
    if repeat_edges:
        for y in range(height + 2 * BORDER):
            row = min(max(y, BORDER), BORDER + height - 1)
            for x in range(width + 2 * BORDER):
                column = min(max(x, BORDER), BORDER + width - 1)
                for k in range(3):
                    packed[y, x, k] = packed[row, column, k]


# Keys' cubic kernel: of each of four taps the coefficients of t^1, t^2 and t^3, t the distance past the second, as
# multiples of a and as constants; those of t^0 are (0, 1, 0, 0). The sum of the taps is 1 for any a and t.
CUBIC_A = ((1.0, 0.0, -1.0, 0.0), (-2.0, -1.0, 2.0, 1.0), (1.0, 1.0, -1.0, -1.0))
CUBIC_ONE = ((0.0, 0.0, 0.0, 0.0), (0.0, -3.0, 3.0, 0.0), (0.0, 2.0, -2.0, 0.0))


@intrinsic
def sample_cubic(typing_context: Any, packed: Any, offset: Any, stride: Any, tx: Any, ty: Any, a: Any) -> Any:
    """Grey, d/dx and d/dy at tx, ty past the second of 4x4 taps, the first of which is `packed[offset]`.

    As vector code by hand because numba leaves LLVM's SLP vectoriser off, which makes plain loops two to three times as
    slow: the four taps of a row are 16 consecutive floats, so four vectors are weighted vertically and added, then
    weighted once horizontally, and the taps summed.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        _, offset, stride, tx, ty, a = arguments
        real, index = ir.FloatType(), ir.IntType(32)
        four = ir.VectorType(real, 4)

        def pick(vector: ir.Value, lanes: list[int]) -> ir.Value:
            mask = ir.Constant(ir.VectorType(index, len(lanes)), lanes)
            return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

        def add(a: ir.Value, b: ir.Value) -> ir.Value:
            return builder.fadd(a, b, flags=("fast",))

        def multiply(a: ir.Value, b: ir.Value) -> ir.Value:
            return builder.fmul(a, b, flags=("fast",))

        def splat(value: ir.Value) -> ir.Value:
            vector = builder.insert_element(ir.Constant(four, ir.Undefined), value, ir.Constant(index, 0))
            return pick(vector, [0] * 4)

        def weights(t: ir.Value) -> ir.Value:  # Horner's scheme on four lanes
            c1, c2, c3 = (
                add(multiply(ir.Constant(four, list(of_a)), splat(a)), ir.Constant(four, list(constant)))
                for of_a, constant in zip(CUBIC_A, CUBIC_ONE, strict=True)
            )
            t = splat(t)
            c0 = ir.Constant(four, [0.0, 1.0, 0.0, 0.0])
            return add(multiply(add(multiply(add(multiply(c3, t), c2), t), c1), t), c0)

        vertical, horizontal = weights(ty), weights(tx)
        total = None
        for tap in range(4):
            address = builder.bitcast(builder.gep(data, [offset]), ir.VectorType(real, 16).as_pointer())
            row = builder.load(address)
            row.align = 4
            row = multiply(row, pick(vertical, [tap] * 16))
            total = row if total is None else add(total, row)
            offset = builder.add(offset, stride)
        total = multiply(total, pick(horizontal, [lane // 4 for lane in range(16)]))
        total = add(pick(total, list(range(8))), pick(total, list(range(8, 16))))
        total = add(pick(total, list(range(4))), pick(total, list(range(4, 8))))
        channels = [builder.extract_element(total, ir.Constant(index, c)) for c in range(3)]
        return context.make_tuple(builder, signature.return_type, channels)

    real = types.float32
    return types.UniTuple(real, 3)(packed, types.uintp, types.uintp, real, real, real), generate


@kernel
def warp_and_linearise(
    reference: np.ndarray,
    packed: np.ndarray,
    flow: np.ndarray,
    ws: np.ndarray,
    edges: np.ndarray,
    scratch: tuple[np.ndarray, np.ndarray, np.ndarray],
    cubic: np.float32,
) -> None:
    """Warp the second image and its gradient by `flow` and expand about it: IX, IY, RHO, INVERSE = 1 / |grad|^2."""
    height, width = reference.shape
    flat, stride = packed.reshape(packed.size), width + 2 * BORDER
    offsets, tx, ty = scratch
    low, high_x, high_y = np.float32(-4), np.float32(width + 2), np.float32(height + 2)
    for y in range(height):
        for s in range(len(edges) - 1):
            row, first, stop = row_start(s, y, height), edges[s], edges[s + 1]
            u1, u2, grey = flow[0, y, first:stop], flow[1, y, first:stop], reference[y, first:stop]
            for x in range(np.uintp(stop - first)):
                px = min(max(np.float32(np.int32(first) + np.int32(x)) + u1[x], low), high_x)
                py = min(max(np.float32(y) + u2[x], low), high_y)
                left, above = np.floor(px), np.floor(py)
                tx[x], ty[x] = px - left, py - above
                offsets[x] = np.int32(above) * np.int32(stride) + np.int32(left)
            corner = (BORDER - 1) * (stride + 1)  # of the taps around pixel (0, 0)
            for x in range(np.uintp(stop - first)):
                tap = np.uintp(4 * (offsets[x] + corner))
                value, ix, iy = sample_cubic(flat, tap, np.uintp(4 * stride), tx[x], ty[x], cubic)  # type: ignore[call-arg,var-annotated]
                ws[row + RHO + x], ws[row + IX + x], ws[row + IY + x] = value, ix, iy
            for x in range(np.uintp(stop - first)):
                i = row + x
                ix, iy = ws[i + IX], ws[i + IY]
                squared = ix * ix + iy * iy
                ws[i + INVERSE] = np.float32(1) / squared if squared > SMALLEST_GRADIENT else np.float32(0)
                ws[i + RHO] -= ix * u1[x] + iy * u2[x] + grey[x]


# -------------------------------------------------------------------------------------------------------- pyramid


@kernel
def resize_bilinear(
    source: np.ndarray, target: np.ndarray, scale_y: float, scale_x: float, gain: np.float32, centre: float
) -> None:
    """Bilinear resampling times `gain`; a scale is source pixels per target pixel, `centre` the centre of pixel 0."""
    height, width = source.shape
    left, right = np.empty(target.shape[1], np.int64), np.empty(target.shape[1], np.int64)
    fraction = np.empty(target.shape[1], np.float32)
    for x in range(target.shape[1]):
        position = min(max((x + centre) * scale_x - centre, 0.0), width - 1.0)
        left[x] = int(position)
        right[x] = min(left[x] + 1, width - 1)
        fraction[x] = position - left[x]
    for y in range(target.shape[0]):
        position = min(max((y + centre) * scale_y - centre, 0.0), height - 1.0)
        upper = int(position)
        above, below = source[upper], source[min(upper + 1, height - 1)]
        down = np.float32(position - upper)
        for x in range(target.shape[1]):
            a = above[left[x]] + fraction[x] * (above[right[x]] - above[left[x]])
            b = below[left[x]] + fraction[x] * (below[right[x]] - below[left[x]])
            target[y, x] = gain * (a + down * (b - a))


@kernel
def build_pyramid(image: np.ndarray, sizes: np.ndarray, scale_step: float, centre: float) -> list[np.ndarray]:
    """Grey levels as float32, finest first."""
    levels = [image.astype(np.float32)]
    for k in range(1, len(sizes)):
        level = np.empty((sizes[k, 0], sizes[k, 1]), np.float32)
        resize_bilinear(levels[k - 1], level, 1 / scale_step, 1 / scale_step, np.float32(1), centre)
        levels.append(level)
    return levels


@kernel
def clear_dual(ws: np.ndarray, rows: int) -> None:
    """Set p to zero in `rows` rows of all strips, with the zeros left of the image and the row above it."""
    for row in range(rows):
        start = row * int(ROW)
        ws[start + int(P11) : start + int(P22 + FIELD)] = 0


@kernel
def relax_with_medians(
    flow: np.ndarray, ws: np.ndarray, edges: np.ndarray, columns: np.ndarray, scalars: Scalars
) -> None:
    """Outer loops of a median and iterations up to the stop threshold, tested after each: opencv-cpu."""
    height, width = flow.shape[1:]
    stop = np.float32(scalars.epsilon_squared * height * width)
    before, error = LARGEST, LARGEST
    for _ in range(scalars.outer):
        if scalars.median:
            median_5x5(flow[0], U1, ws, edges, columns)
            median_5x5(flow[1], U2, ws, edges, columns)
        else:
            put_flow(flow, ws, edges)
        done = 0
        while error > stop and done < scalars.inner:
            falling = error < before < LARGEST  # not just after a median
            far = falling and error * (error / before) ** (WAVEFRONT - 1) > MARGIN * stop
            sweep = min(WAVEFRONT if far else 1, scalars.inner - done)
            before, error = iterate(ws, height, edges, sweep, error, scalars)
            done += sweep
        take_flow(ws, flow, edges)
        if error <= stop:
            break


@kernel
def relax_lazily(flow: np.ndarray, ws: np.ndarray, edges: np.ndarray, scalars: Scalars) -> None:
    """One loop of iterations, tested on odd ones after one wait for each threshold in the last error: opencv-cuda."""
    height, width = flow.shape[1:]
    stop, owed = scalars.epsilon_squared * height * width, 0.0
    put_flow(flow, ws, edges)
    done, limit = 0, scalars.inner * scalars.outer
    while done < limit:
        untested = 0
        while done + untested < limit and ((done + untested) % 2 == 0 or owed >= stop):
            owed -= stop
            untested += 1
        while untested > 0:
            sweep = min(untested, WAVEFRONT)
            iterate(ws, height, edges, sweep, LARGEST, scalars)
            done, untested = done + sweep, untested - sweep
        if done < limit:
            owed = float(iterate(ws, height, edges, 1, LARGEST, scalars)[1])
            done += 1
            if owed <= stop:
                break
    take_flow(ws, flow, edges)


@kernel
def solve_level(
    reference: np.ndarray, moved: np.ndarray, flow: np.ndarray, scalars: Scalars, memory: np.ndarray
) -> None:
    """Refine `flow` (2, H, W) in place on one pyramid level; p starts at zero and persists across warps."""
    height, width = reference.shape
    strips = (width + STRIP - 1) // STRIP
    edges = np.array([s * width // strips for s in range(strips + 1)])
    size = strips * (height + 1) * int(ROW)
    ws, packed = memory[:size], memory[size : size + packed_size(height, width)]
    packed = packed.reshape(height + 2 * BORDER, width + 2 * BORDER, 4)
    columns = np.zeros(5 * int(FIELD), np.float32)
    scratch = (np.empty(STRIP, np.int32), np.empty(STRIP, np.float32), np.empty(STRIP, np.float32))
    clear_dual(ws, strips * (height + 1))
    image_gradients(moved, scalars.repeat_edges, packed)
    for _ in range(scalars.warps):
        warp_and_linearise(reference, packed, flow, ws, edges, scratch, scalars.cubic)
        if scalars.lazy_stop:
            relax_lazily(flow, ws, edges, scalars)
        else:
            relax_with_medians(flow, ws, edges, columns, scalars)


@compiled(fastmath=True, error_model="numpy", nogil=True)
def flow_of_pair(
    previous: np.ndarray, following: np.ndarray, sizes: np.ndarray, scalars: Scalars, memory: np.ndarray
) -> np.ndarray:
    """Flow (2, H, W) of one pair, coarse to fine; `memory` is one thread's, as of `thread_memory`."""
    references = build_pyramid(previous, sizes, scalars.scale_step, scalars.centre)
    moved = build_pyramid(following, sizes, scalars.scale_step, scalars.centre)
    coarsest = len(sizes) - 1
    flow = np.zeros((2, sizes[coarsest, 0], sizes[coarsest, 1]), np.float32)
    for k in range(coarsest, -1, -1):
        height, width = sizes[k]
        if k < coarsest:
            coarse = flow
            flow = np.empty((2, height, width), np.float32)
            scale_y, scale_x = coarse.shape[1] / height, coarse.shape[2] / width
            gain = np.float32(1 / scalars.scale_step)
            for c in range(2):
                resize_bilinear(coarse[c], flow[c], scale_y, scale_x, gain, scalars.centre)
        solve_level(references[k], moved[k], flow, scalars, memory)
    return flow


@kernel
def packed_size(height: int, width: int) -> int:
    """Floats of an image with its gradients."""
    return (height + 2 * BORDER) * (width + 2 * BORDER) * 4


def thread_memory(threads: int, height: int, width: int) -> np.ndarray:
    """(threads, floats) float32: workspaces and images with gradients of the finest level, each on whole cache lines.

    Vectors that straddle two lines would cost two fifths more, memory that is fresh for each pair a tenth.
    """
    strips, line = -(-width // STRIP), int(LINE)
    size = strips * (height + 1) * int(ROW) + -(-packed_size(height, width) // line) * line
    floats = np.zeros(threads * size + line, np.float32)
    first = -(floats.ctypes.data // floats.itemsize) % line
    return floats[first : first + threads * size].reshape(threads, size)


def pyramid_sizes(height: int, width: int, parameters: TVL1Parameters) -> np.ndarray:
    """(levels, 2) heights and widths, finest first; levels under 16 pixels are left out as in OpenCV."""
    sizes = [(height, width)]
    while len(sizes) < parameters.nscales:
        h, w = (round(side * parameters.scale_step) for side in sizes[-1])  # round half to even, as cvRound
        if min(h, w) < 16:
            break
        sizes.append((h, w))
    return np.array(sizes)


def tvl1_numba(previous: np.ndarray, following: np.ndarray, parameters: TVL1Parameters, threads: int) -> np.ndarray:
    """Flow (N, 2, H, W) float32 in pixels/frame of N pairs of uint8 (N, H, W) frames, pairs in parallel."""
    p, cuda = parameters, parameters.semantics == "opencv-cuda"
    scalars = Scalars(
        lambda_theta=np.float32(p.lambda_ * p.theta),
        theta=np.float32(p.theta),
        tau_theta=np.float32(p.tau / p.theta),
        epsilon_squared=float(p.epsilon**2),
        warps=p.warps,
        outer=p.outer,
        inner=p.inner,
        median=p.median_filter > 1,
        lazy_stop=cuda,
        scale_step=float(p.scale_step),
        cubic=np.float32(-0.5 if cuda else -0.75),
        repeat_edges=cuda,
        centre=0.0 if cuda else 0.5,
    )
    flow = np.empty((len(previous), 2, *previous.shape[1:]), np.float32)
    # One array type, writable and contiguous, so that one compilation serves all callers.
    previous, following = (np.require(frames, np.uint8, ["C", "W"]) for frames in (previous, following))
    sizes = pyramid_sizes(previous.shape[1], previous.shape[2], parameters)
    pairs = iter(range(len(previous)))  # shared by the threads

    def work(memory: np.ndarray) -> None:
        for n in pairs:
            flow[n] = flow_of_pair(previous[n], following[n], sizes, scalars, memory)

    threads = min(threads, len(previous))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, thread_memory(threads, *previous.shape[1:])))  # passes errors on
    return flow
