"""What datasets share: boxes, COCO's JSON, and opening images that may be damaged."""
