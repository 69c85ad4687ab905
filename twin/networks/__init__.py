"""Segmentation by a network that the user has on disk."""

from twin.lazy_names import lazy_names

__all__ = ["NetworkSegmentation", "segment", "write_segmentation"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "NetworkSegmentation": "segmenting",
        "segment": "segmenting",
        "write_segmentation": "outputs",
    },
)
