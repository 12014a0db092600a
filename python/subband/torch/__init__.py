"""The codec in PyTorch: a trainable layer, taps in any network, and training memory.

>>> import subband.torch as st                                                  # doctest: +SKIP
>>> st.attach(model, "relu", example=images, step_scale=0.5)                     # doctest: +SKIP
>>> loss = criterion(model(images), labels) + 0.1 * st.rate(model)               # doctest: +SKIP
>>> profile = st.export_profile(model, train_loader, "net.sbp")                  # doctest: +SKIP
>>> print(st.evaluate(model, test_loader, profile))                              # doctest: +SKIP
"""

from ._attach import TapLayers, attach, attached, detach
from ._evaluate import Evaluation, evaluate, export_profile
from ._layer import WaveletQuantize, layers, parameter_groups, project, rate, sharpening
from ._packed import SavedTensorError
from ._saved import Saved, compress_saved_tensors

__all__ = [
    "Evaluation",
    "Saved",
    "SavedTensorError",
    "TapLayers",
    "WaveletQuantize",
    "attach",
    "attached",
    "compress_saved_tensors",
    "detach",
    "evaluate",
    "export_profile",
    "layers",
    "parameter_groups",
    "project",
    "rate",
    "sharpening",
]
