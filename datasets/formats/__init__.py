"""What datasets share: boxes, COCO's JSON, and opening pictures that may be damaged."""
