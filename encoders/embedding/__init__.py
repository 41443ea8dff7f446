"""Encoders: frames and words to vectors of one space. The seam is `encoder.Encoder`."""
