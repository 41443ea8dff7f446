"""One decoded picture: upright, deinterlaced, in BT.709 colours."""
