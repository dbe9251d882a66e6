"""Small COCO detectors.

Each shows what a user's detector must have: ``categories``, ``prepare``, ``forward`` and ``detections``
(``splitbench.bench.backbones.detectors`` says exactly what). Batch norm is folded into the convolutions where the
public weights have it so.
"""
