"""How triton's kernels are tested without a GPU: compiled, and in triton's interpreter.

The interpreter must be chosen before triton is imported: so a module's tests named `test_interpreted_...` run in a
process of their own, which its test `test_kernels_in_the_interpreter` starts.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from stp.system.triton_support import interpreted

INTERPRETED = interpreted()
in_interpreter = pytest.mark.skipif(not INTERPRETED, reason="is run by test_kernels_in_the_interpreter")
not_in_interpreter = pytest.mark.skipif(INTERPRETED, reason="the interpreter runs on the CPU and compiles nothing")


def run_interpreted(path: str) -> None:
    """Run a module's tests of the interpreter; none may fail or be skipped."""
    pytest.importorskip("triton")
    options = ["-k", "interpreted", "-p", "no:cacheprovider", "--durations=20"]
    command = [sys.executable, "-m", "pytest", path, *options]
    run = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    print(run.stdout)
    assert run.returncode == 0
    assert "skipped" not in run.stdout


def mend_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since numpy 2.4 int() refuses arrays of one element, as the interpreter's scalars are up to triton 3.6."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_with_index(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch_with_index)


def compiled_size(
    kernel: Any, types: dict[str, str], constants: dict[str, Any], capability: int, options: dict[str, Any]
) -> tuple[int, int]:
    """Compile a kernel for a compute capability (80 is 8.0): registers of a thread, and bytes that it spills.

    `types` are those of arguments that are no int32; all pointers are taken to be aligned.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = types | dict.fromkeys(constants, "constexpr")
    signature = {argument: types.get(argument, "i32") for argument in kernel.arg_names}
    aligned = [["tt.divisibility", 16]]
    source = ASTSource(
        kernel,
        signature,
        {(kernel.arg_names.index(constant),): value for constant, value in constants.items()},
        {(k,): aligned for k, kind in enumerate(signature.values()) if kind.startswith("*")},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(compiled.asm["cubin"])
        cuobjdump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        usage = subprocess.run([cuobjdump, "--dump-resource-usage", file.name], capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found, usage
    registers, stack = (int(number) for number in found.groups())
    print(f"{kernel.__name__} {constants} for {capability}: {registers} registers, {stack} bytes spilled")
    return registers, stack
