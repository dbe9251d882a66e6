"""Small COCO detectors, named in a sweep by import path: ``splitbench.bench.models.detectors.yolox_nano:yolox_nano``.

Each shows what a detector of one's own must have: ``categories``, ``prepare``, ``forward`` and ``detections``
(``splitbench.bench.detectors`` says exactly what). Batch norm is folded into the convolutions where the public weights
have it so.
"""
