#!/usr/bin/env bash
# Test and measure stp on a GPU, in seven steps that are meant to take at most ten minutes each.
#
#   benchmarks/on_gpu.sh STEP FOLDER [VIDEO...]     # 1 to 7; figures and logs go to FOLDER
#
# The machine has Python with torch, triton, numba and h5py. What else is missing (av, snakemake, an OpenCV with CUDA,
# ...) may lie in a folder .whl as wheels for that Python. Nothing is fetched. Videos are used by steps 3 and 5;
# without any, synthetic ones are. After the last step `cat FOLDER/*.md` has every figure.
set -uo pipefail
cd "$(dirname "$0")/.."
step=${1:?a step: 1 to 7} out=${2:?a folder for the figures}
shift 2
mkdir -p "$out"
site=${TMPDIR:-/tmp}/stp-site
if [ ! -d "$site" ]; then
  [ -z "$(ls .whl 2>/dev/null)" ] || python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" .whl/*.whl
  python3 -m pip install -q --no-index --no-deps --no-build-isolation --target "$site" . || mkdir -p "$site"
fi
export PYTHONPATH="$PWD:$site" PATH="$site/bin:$PATH" PYTHONUNBUFFERED=1
status=0
measure() {  # NAME COMMAND...: a log of its own, and a line on how it went
  local name=$1 began=$SECONDS result=0
  shift
  "$@" > "$out/$name.log" 2>&1 || result=$?
  tail -n 40 "$out/$name.log"
  echo "== $name: status $result, $((SECONDS - began)) s"
  [ $result -eq 0 ] || status=1
}
training() {  # NAME OPTIONS...
  local name=$1
  shift
  measure "$name" python3 benchmarks/training.py --keep "$out/training.md" --turns 3 "$@"
}
case $step in
  1)
    measure card nvidia-smi
    measure ceilings python3 benchmarks/ceilings.py --keep "$out/ceilings.md"
    measure doctor python3 -m stp doctor --gpu
    measure flow-tests python3 -m tests.on_gpu tests/flow
    if command -v compute-sanitizer > /dev/null; then
      measure sanitizer compute-sanitizer --error-exitcode 9 python3 -m pytest -q tests/flow/test_flow_gpu.py -k "gpu_equals_torch and 16-17"
    fi
    ;;
  2) measure training-tests python3 -m tests.on_gpu tests/training tests/sampling tests/predict ;;
  3) measure flow python3 benchmarks/flow.py --gpu-only --turns 3 --pairs 10 --gpu-copies 20 --streams 4 8 --keep "$out/flow.md" "$@" ;;
  4)
    # Steps of a turn: an epoch of PEV's 911 training clips.
    training of-3-level --clips 911 --steps 29
    training of-3-level-compiled --clips 911 --steps 29 --compile
    training rgb-3-level-compiled --clips 256 --steps 8 --compile --input rgb
    training of-baseline-compiled --clips 256 --steps 8 --compile --variant baseline
    training of-4-level-compiled --clips 256 --steps 8 --compile --variant 4-level
    ;;
  5)
    measure loading python3 benchmarks/loading.py --keep "$out/loading.md" "$@"
    measure predict python3 benchmarks/predict.py --backend triton --keep "$out/predict.md" "$@"
    ;;
  6)
    mkdir -p "$out/demo"
    echo "compute: {device: cuda, gpus: 1, gpu_share: 6}" > "$out/demo.yaml"
    measure demo snakemake results/table1.csv --cores 16 --resources gpu=6 --directory "$out/demo" --snakefile Snakefile \
      --configfile config.yaml "$out/demo.yaml"
    ;;
  7) measure methods python3 benchmarks/methods.py --turns 3 --keep "$out/methods.md" ;;
  *) echo "there is no step $step: 1 to 7" >&2; exit 2 ;;
esac
exit $status
