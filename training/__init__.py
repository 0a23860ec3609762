"""Train models: recipes, corpora, tokenizers, model families, the training loop, decoding and evaluation."""
