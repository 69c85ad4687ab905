"""Segmentation by a network that the user has on disk."""
