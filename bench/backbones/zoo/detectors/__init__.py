"""Small COCO detectors.

Each shows what a detector of one's own must have: ``categories``, ``prepare``, ``forward`` and ``detections``
(``splitbench.bench.backbones.detectors`` says exactly what). Batch norm is folded into the convolutions where the
public weights have it so.
"""
