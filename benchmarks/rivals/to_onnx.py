"""Convert the pair for onnxruntime: ``python to_onnx.py`` writes it into its Python's environment.

skl2onnx has no converter of splines, so this brings one for those of the scorecard.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy
from onnx.helper import set_model_props
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.algebra.onnx_ops import OnnxClip, OnnxDiv, OnnxMax, OnnxMin, OnnxSub
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import SplineTransformer


def shape(operator):
    """Say that a column becomes one for each spline."""
    operator.outputs[0].type = FloatTensorType([None, operator.raw_operator.n_features_out_])


def hats(scope, operator, container):
    """Write splines of degree 1 as what they are: hats, each from its knot to the next but one."""
    knots = operator.raw_operator.bsplines_[0].t.astype(numpy.float32)
    left, top, right = knots[:-2], knots[1:-1], knots[2:]
    opset = {"op_version": container.target_opset}
    number = OnnxClip(operator.inputs[0], top[:1], top[-1:], **opset)
    rising = OnnxDiv(OnnxSub(number, left, **opset), top - left, **opset)
    falling = OnnxDiv(OnnxSub(right, number, **opset), right - top, **opset)
    lower = OnnxMin(rising, falling, **opset)
    zero = numpy.zeros(1, numpy.float32)
    OnnxMax(lower, zero, output_names=operator.outputs, **opset).add_to(scope, container)


if __name__ == "__main__":
    pair = Path(__file__).parents[2] / "churn-model.bin"
    vectorizer, model = pickle.loads(pair.read_bytes())  # noqa: S301
    names = vectorizer.feature_names_
    update_registered_converter(SplineTransformer, "SklearnSplineTransformer", shape, hats)
    converted = convert_sklearn(
        model,
        initial_types=[("customers", FloatTensorType([None, len(names)]))],
        options={LogisticRegression: {"zipmap": False}},
    )
    set_model_props(converted, {"names": json.dumps(names)})
    Path(sys.prefix, "churn-model.onnx").write_bytes(converted.SerializeToString())
