"""Linear quantization of cuts, and how its ranges are chosen."""
