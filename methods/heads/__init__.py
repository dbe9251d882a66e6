"""New heads: small encoders in the place of a backbone's first layers, and their decoders, shared by the methods."""

from splitbench.methods.heads.convolutional_head import ConvolutionalHead
from splitbench.methods.heads.head_settings import HeadSettings, learning

__all__ = ["ConvolutionalHead", "HeadSettings", "learning"]
