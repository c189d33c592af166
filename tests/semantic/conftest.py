"""What all of these need: the optional extra. There is no ONNX Runtime for Macs with Intel's processors."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")
