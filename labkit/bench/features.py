"""What units look for, against the bare passes through the model that it cannot do without."""

import torch

from labkit import data, device, features
from labkit.bench.training import BATCH_SIZE, ratios
from labkit.models import TinyVGG

PICTURES = 5000
LAYERS = ["relu1_2", "relu2_2", "relu3_1", "relu3_2"]


def top_patches() -> list[float]:
    """All units of four layers over all pictures, over a bare forward pass over them; TinyVGG, 48 x 48, one thread."""
    model = TinyVGG().eval()
    drawn = data.objects(n=500)
    inputs = drawn.inputs.repeat(PICTURES // len(drawn), 1, 1, 1)
    ds = data.Dataset(inputs, torch.zeros(PICTURES, dtype=torch.int64))

    def bare() -> None:
        with torch.no_grad():
            for batch in inputs.split(BATCH_SIZE):
                model(batch)

    with device.threads(1):
        return ratios(lambda: features.top_patches(model, LAYERS, None, ds, batch_size=BATCH_SIZE), bare, rounds=3)
