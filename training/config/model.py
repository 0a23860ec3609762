"""The table [model]: one class for each family of architectures, so that a family's keys exist only there."""

from typing import ClassVar, Literal

from pydantic import Field

from training.config.tables import Table


class ModelTable(Table):
    """[model]: the keys that every family has."""

    architecture: str
    width: int = Field(
        default=256,
        ge=1,
        description="Model width D: the size of embeddings and layer outputs; default for `ngrams`: 64.",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout rate; of whole n-grams for `ngrams`.")
    max_source_length: int = Field(
        default=256, ge=1, description="Source tokens that the model accepts, special tokens included."
    )
    max_target_length: int = Field(
        default=256, ge=1, description="Target tokens that the model generates at most; translators only."
    )


class LayeredTable(ModelTable):
    """[model]: the keys that every family with layers has."""

    encoder_layers: int = Field(default=6, ge=1, description="Layers of the encoder.")
    decoder_layers: int = Field(default=6, ge=1, description="Layers of the decoder; translators only.")
    tied_embeddings: bool = Field(
        default=True,
        description="Whether the target embeddings and the output projection, and with `tokenizer.joint` the source "
        "embeddings too, share one matrix; translators only.",
    )


class TransformerKeys(Table):
    """[model.transformer], or in [model] itself: the keys of the Transformer alone."""

    heads: int = Field(default=4, ge=1, description="Attention heads; `width` is a multiple of 8 for each.")
    kv_heads: int = Field(
        default=4,
        ge=1,
        description="Key-value heads; a divisor of `heads`. Fewer make the KV caches smaller and decoding faster.",
    )
    feed_forward: int = Field(default=1024, ge=1, description="Inner width of the feed-forward sublayers.")
    norm: Literal["pre", "post"] = Field(
        default="pre", description="LayerNorm before each sublayer (`pre`) or after its residual sum (`post`)."
    )
    activation: Literal["relu", "gelu", "silu"] = Field(
        default="relu", description="Activation of the feed-forward sublayers."
    )
    positions: Literal["sinusoidal", "learned"] = Field(default="sinusoidal", description="Position embeddings.")
    norm_epsilon: float = Field(default=1e-5, gt=0, description="Added to the variance in every LayerNorm.")
    embedding_norm: bool = Field(
        default=False, description="Whether embeddings are normalised by a LayerNorm instead of scaled (BERT)."
    )
    embedding_width: int = Field(
        default=0, ge=0, description="Width of embeddings that are projected to `width` (ELECTRA); 0: no projection."
    )


class RecurrentKeys(Table):
    """[model.recurrent], or in [model] itself: the keys of RNN, GRU and LSTM alone."""

    bidirectional: bool = Field(
        default=True, description="Whether the encoder reads in both directions, each with half the width."
    )
    attention: Literal["additive", "multiplicative", "none"] = Field(
        default="additive",
        description="Attention of the decoder over the source: `additive` (Bahdanau et al. 2015), `multiplicative` "
        "(Luong et al. 2015) or `none`: the source is one fixed vector. Translators only.",
    )
    scheduled_sampling: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the decoder's inputs that are its own predictions (Bengio et al. 2015); grows from 0 to "
        "this during training. Translators only.",
    )


class NgramsKeys(Table):
    """[model.ngrams], or in [model] itself: the keys of the n-gram classifier alone."""

    order: int = Field(default=3, ge=1, description="Tokens of the longest n-gram.")
    buckets: int = Field(
        default=100_000, ge=1, description="Hash buckets, one vector each, shared by all n-grams of two or more tokens."
    )


class TransformerConfig(TransformerKeys, LayeredTable):
    """[model] with architecture = "transformer", the default (Vaswani et al. 2017)."""

    family: ClassVar[str] = "transformer"
    architecture: Literal["transformer"] = Field(default="transformer", description="Which model to train.")
    pooling: Literal["mean", "first"] = Field(
        default="mean", description="Token vectors that represent a text; classifiers only."
    )

    def find_problems(self) -> list[str]:
        problems = []
        if self.width % (8 * self.heads):
            problems.append(
                f"model.width {self.width} does not give each of {self.heads} heads a multiple of 8, as the exported "
                "attention operator needs; change model.width or model.heads"
            )
        if self.heads % self.kv_heads:
            problems.append(
                f"model.heads {self.heads} is not a multiple of model.kv_heads {self.kv_heads}; change one of them"
            )
        return problems


class RecurrentConfig(RecurrentKeys, LayeredTable):
    """[model] with architecture = "rnn", "gru" or "lstm"."""

    family: ClassVar[str] = "recurrent"
    architecture: Literal["rnn", "gru", "lstm"] = Field(description="Which model to train.")
    pooling: Literal["mean", "last"] = Field(
        default="mean", description="Encoder states that represent a text; classifiers only."
    )

    def find_problems(self) -> list[str]:
        if not self.bidirectional or self.width % 2 == 0:
            return []
        return [
            f"model.width {self.width} is odd, but each direction of a bidirectional encoder has half of it; change "
            "model.width or set model.bidirectional to false"
        ]


class NgramsConfig(NgramsKeys, ModelTable):
    """[model] with architecture = "ngrams": a classifier without layers (Joulin et al. 2016)."""

    family: ClassVar[str] = "ngrams"
    architecture: Literal["ngrams"] = Field(description="Which model to train.")
    width: int = Field(default=64, ge=1, description="Width D of the embeddings; more take time and space.")


ModelConfig = TransformerConfig | RecurrentConfig | NgramsConfig
MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    "transformer": TransformerConfig, "recurrent": RecurrentConfig, "ngrams": NgramsConfig,
}  # fmt: skip
FAMILY_KEYS: dict[str, type[Table]] = {
    "transformer": TransformerKeys, "recurrent": RecurrentKeys, "ngrams": NgramsKeys,
}  # fmt: skip
FAMILIES = {  # by architecture
    "transformer": "transformer", "rnn": "recurrent", "gru": "recurrent", "lstm": "recurrent", "ngrams": "ngrams",
}  # fmt: skip
TRANSLATOR_KEYS = ("attention", "scheduled_sampling")  # of [model], refused in a classifier's recipe
