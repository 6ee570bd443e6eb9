"""crystalfw.core.data: prepare crystals once, memory-map them, bring them to the model in batches."""

from crystalfw.core.data.loader import Loader as Loader
from crystalfw.core.data.loader import LoaderOptions as LoaderOptions
from crystalfw.core.data.prepare import prepare as prepare
from crystalfw.core.data.store import Dataset as Dataset
from crystalfw.core.data.store import Split as Split

__all__ = ["Dataset", "Loader", "LoaderOptions", "Split", "prepare"]
