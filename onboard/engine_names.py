"""What the inference engines are called, free of every library: command lines and scenarios read it."""

from typing import Final, Literal, get_args

EngineName = Literal["openvino_int8", "openvino", "onnxruntime", "ultralytics"]
"""`openvino_int8` runs the network in 8-bit integers, `openvino` and `onnxruntime` in float32; `ultralytics` is the reference."""

ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)
