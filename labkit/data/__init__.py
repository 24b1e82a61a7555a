"""Examples with ground truth: made here, embedded, or loaded from files or a network."""

from labkit.data import handmade
from labkit.data.cue import with_cue
from labkit.data.dataset import Dataset
from labkit.data.download import cifar10, fashion_mnist, mnist
from labkit.data.folder import image_folder
from labkit.data.handwriting import digits, ink_to_digit
from labkit.data.payments import aggregates, transactions
from labkit.data.photos import photo
from labkit.data.pictures import objects
from labkit.data.points import toy

__all__ = [
    "Dataset",
    "aggregates",
    "cifar10",
    "digits",
    "fashion_mnist",
    "handmade",
    "image_folder",
    "ink_to_digit",
    "mnist",
    "objects",
    "photo",
    "toy",
    "transactions",
    "with_cue",
]
