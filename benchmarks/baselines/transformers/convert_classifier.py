"""Convert a trained classifier to a transformers model: an M2M100 encoder, mean pooling, one linear map.

    python -m benchmarks.baselines.transformers.convert_classifier RUN FOLDER

No classification architecture of transformers has pre-norm, scaled embeddings, fixed positions and mean pooling; the
encoder of M2M100 has all but the pooling, so the head is three lines of torch (server.py). This module does not import
transformers.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.baselines import UnsupportedModel
from benchmarks.baselines.transformers.convert import convert
from training.models.classifier import Classifier
from training.models.transformer import Transformer
from training.runs.run import RunFolder

HEAD = "head.safetensors"


def convert_run(run: Path, folder: Path) -> None:
    """Write the encoder as an M2M100 folder, with an unused decoder of one layer, and the head beside it.

    Raises:
        UnsupportedModel: the run is not a classifier with mean pooling.
        CheckpointError, RecipeError, TokenizerError: the run folder cannot be read.
    """
    _, model = RunFolder(run).open(torch.device("cpu"))
    if not isinstance(model, Classifier) or model.config.pooling != "mean":
        raise UnsupportedModel(f"{run}: not a run of a classifier with mean pooling")
    config = model.config.model_copy(update={"decoder_layers": 1})
    vocabulary = model.encoder.embedding.token.num_embeddings
    around = Transformer(config, vocabulary, vocabulary, joint=True)
    around.encoder.load_state_dict(model.encoder.state_dict())
    convert(around, folder)
    head = {name: tensor.detach().clone() for name, tensor in model.output.named_parameters()}
    save_file(head, folder / HEAD)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    convert_run(arguments.run, arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
