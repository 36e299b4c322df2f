#!/bin/sh
# Takes out of a virtual environment what never runs on board: test suites, header files, and the parts of OpenVINO for
# other devices (GPU, NPU), for model formats other than its own and ONNX (the networks in integers), and for reporting home.
# `tianshu run` in the image shows that nothing is missed.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)

for name in auto_plugin auto_batch_plugin hetero_plugin intel_gpu_plugin intel_npu_plugin gguf_frontend jax_frontend \
  paddle_frontend pytorch_frontend tensorflow_frontend tensorflow_lite_frontend; do
  rm -f "$packages/openvino/libs/libopenvino_$name".so*
done
rm -f "$packages"/openvino/libs/cache.json   # compiled GPU kernels
rm -rf "$packages"/openvino/include "$packages"/openvino/cmake "$packages"/openvino_telemetry*
find "$packages" -type d \( -name tests -o -name include \) -prune -exec rm -rf {} +
find "$packages" -name '*.pyi' -delete
