"""The most that a GPU can do: bytes that a copy moves, operations of a matrix product.

python benchmarks/ceilings.py
"""

import torch
from record import benchmark_parser, record
from triton.testing import do_bench

COPIED = 2**30  # bytes
SIDE = 8192  # of the matrices


def main() -> None:
    keep = benchmark_parser(__doc__).parse_args().keep
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU")
    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy = do_bench(lambda: target.copy_(source), return_mode="median")
    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = do_bench(lambda: left @ right, return_mode="median")
    rows = [
        f"- A copy within the GPU moves {2 * COPIED / copy / 1e9:.2f} TB/s, read and written.",
        f"- A product of bfloat16 matrices of {SIDE} x {SIDE}: {2 * SIDE**3 / product / 1e9:.0f} TFLOP/s.",
    ]
    record("Ceilings of the GPU", rows, keep=keep)


if __name__ == "__main__":
    main()
