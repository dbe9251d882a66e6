"""Names to models: registries, pretrained weights, preprocessing, detectors."""
