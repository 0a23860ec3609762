"""Corpus to checkpoint: recipes, corpora, tokenisers, models, the training loop and its evaluation."""
