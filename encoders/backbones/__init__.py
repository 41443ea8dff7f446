"""Pretrained video classifiers, by name, and optical flow."""
