"""The digits of scikit-learn: real data that need no download."""

from __future__ import annotations

from harness.components import Facts, NoSettings, component
from harness.data.encodings import Images
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.lazy import np, torch

ENCODING = Images(shape=(1, 8, 8), mean=(0.3054,), std=(0.3759,))
TEST_SHARE = 5  # every fifth sample of a fixed permutation is a test sample


@component(
    "datasets",
    "digits",
    source="scikit-learn load_digits; UCI Optical Recognition of Handwritten Digits, test part",
    facts=lambda settings: Facts(ENCODING, 10, train=1437, test=360),
)
def load(settings: NoSettings, root: DataRoot) -> Dataset:
    """1,797 handwritten digits of 8x8 pixels in 10 classes.

    Intensities 0..16 become round(v * 255 / 16) as uint8 [N, 1, 8, 8]. The test set is every fifth
    sample of the permutation that NumPy's PCG64 draws from seed 0. Mean and std are those of all
    training pixels.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 1, 8, 8) * 255 / 16).astype("uint8")
    order = np.random.default_rng(0).permutation(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[order[::TEST_SHARE]] = True
    train, test = (
        Split(torch.from_numpy(pixels[part]), torch.from_numpy(labels[part].astype("int64")))
        for part in (~held_out, held_out)
    )
    return dataset("digits", train, test, tuple("0123456789"), ENCODING, "scikit-learn's own copy")
