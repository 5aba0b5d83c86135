"""The keys of a configuration, in one place: what each means, its type, limits and default.

config.yaml, schemas/config.schema.json and docs/configuration.md are made from these models, by
scripts/configuration.py (`make config`). Only a check loads this module, and pydantic with it.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic.fields import FieldInfo

from l2study.core.labels import l2_label
from l2study.core.lambda_grid import MOST_DECADES, MOST_PER_DECADE, even_grid, factors_of
from l2study.core.seeds import MOST_LEVELS, SOURCES, USUAL

TAKES_MOMENTUM = ("sgd", "rmsprop")
"""The optimisers that have a momentum."""


class Keys(BaseModel):
    """A mapping of known keys. Text is no number, 1.0 is no whole number, numbers are finite."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


def key(
    text: str,
    default: object = None,
    *,
    allowed: str = "",
    absent: str = "",
    example: object = None,
    **limits: object,
) -> FieldInfo:
    """Return a key, which means what `text` says.

    Args:
        text: the description.
        default: None for a key that may be left out, `...` for one that must be given.
        allowed: the values in words, where they do not follow from type and limits.
        absent: what holds where the key is left out.
        example: a value for config.yaml, where there is no default.
        limits: those of pydantic.
    """
    more = {"allowed": allowed, "absent": absent, "examples": example and [example]}
    more = {name: value for name, value in more.items() if value}
    text = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    return Field(default, description=text, json_schema_extra=more or None, **limits)


def switch(text: str) -> FieldInfo:
    """Return a key that is false where it is left out."""
    return key(text, absent="false", example=True)


def each_once(entries: list) -> list:
    """Return a list; an entry that it has twice is a fault."""
    for entry, count in Counter(entries).items():
        if count > 1:
            shown = l2_label(entry) if isinstance(entry, float) else entry
            raise ValueError(f"{shown} is given more than once; allowed: each once")
    return entries


Once = AfterValidator(each_once)
Some = Field(min_length=1)
Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0)]

Function = Field(pattern=r"^[^:\n]+\.py:[A-Za-z_]\w*$")

# Of several kinds of value, the one is checked that was given, so that a fault is about that.
OF_KIND = Discriminator(lambda value: {dict: "mapping", list: "list"}.get(type(value), "value"))
Value, List, Mapping = Tag("value"), Tag("list"), Tag("mapping")


Size = Annotated[
    Annotated[Count, Value] | Annotated[list[Count], Field(min_length=2, max_length=2), List],
    OF_KIND,
]


DataName = Literal[
    "mnist", "fashion_mnist", "cifar10", "cifar100", "digits", "breast_cancer", "wine", "iris"
]


class Dataset(Keys):
    """The data to train and test on."""

    name: DataName | None = key(
        """A built-in data set. Keras downloads fashion_mnist (unless Debian's dataset-fashion-mnist
        is installed), cifar10 and cifar100. digits, breast_cancer, wine and iris come with
        scikit-learn, without a test part.""",
        "mnist",
    )
    path: Annotated[str, Some] | None = key(
        """Your own data, instead of `name`: an .npz file, a table (.csv, .csv.gz or .parquet), or a
        folder of images or IDX files (docs/data-and-models.md).""",
        allowed="a path",
        example="data/mine.npz",
    )
    load: Annotated[str, Function] | None = key(
        "A function that returns the data, instead of `name` (docs/data-and-models.md).",
        allowed="FILE.py:FUNCTION",
        example="data.py:load",
    )
    files: Annotated[list[Annotated[str, Some]], Some, Once] | None = key(
        "What `load` reads: a change of it prepares the data again.",
        allowed="a list of paths; only with dataset.load",
        example=["scans.npy"],
    )
    label: Annotated[str, Some] | None = key(
        "A table's column with the class. All others are inputs and must be numbers.",
        allowed="a column name; needed for a table, and only there",
        example="species",
    )
    group: Annotated[str, Some] | None = key(
        "A table's column with each row's group, such as a patient (docs/data-and-models.md).",
        allowed="a column name; only for a table",
        absent="rows are independent",
        example="patient",
    )
    image_size: Size | None = key(
        "Height and width in pixels to scale images of a folder to.",
        allowed="a whole number above 0 for both, or [height, width]",
        absent="their own size",
        example=[32, 48],
    )
    color: Literal["rgb", "grayscale"] | None = key(
        "How to read images of a folder.",
        absent="rgb",
        example="grayscale",
    )
    test_fraction: Share | None = key(
        "The share of rows to set aside for testing, stratified by class, the same in all runs.",
        allowed="a number above 0 and below 1, if and only if the data have no test part",
        example=0.2,
    )
    scale: Literal["pixels", "standardize", "none"] | None = key(
        """pixels: divide inputs by 255. standardize: mean 0 and standard deviation 1 of each
        column or pixel over the run's training rows. none: leave them.""",
        absent="pixels for unsigned 8-bit integers, else none",
        example="standardize",
    )
    train_size: Count | None = key(
        """Train on this many rows only, stratified by class, the same for all seeds unless
        `variation` says otherwise.""",
        allowed="a whole number from 1 to the number of training rows",
        absent="all",
        example=5000,
    )
    label_noise: float | None = key(
        "The share of training labels to replace by another class, the same ones in all runs.",
        absent="0",
        example=0.2,
        ge=0,
        lt=1,
    )


class Validation(Keys):
    """Which training rows to keep for validation."""

    split: Literal["tail", "stratified", "given"] = key(
        """tail: the last, like Keras's `validation_split`. stratified: random ones of each
        class, the same for all seeds unless `variation` says otherwise. given: the data's own
        validation part.""",
        "tail",
    )
    fraction: Share = key("The share of training rows to keep. Ignored with `split: given`.", 0.1)


class Model(Keys):
    """The network: hidden Dense layers and a softmax output layer, or your own."""

    build: Annotated[str, Function] | None = key(
        "A function that returns your own network (docs/your-model.md).",
        allowed="FILE.py:FUNCTION",
        absent="the built-in network",
        example="models.py:lenet",
    )
    arguments: dict[str, Any] | None = key(
        "Its further arguments.",
        allowed="a mapping of names to values",
        example={"dropout": 0.5},
    )
    code: str | None = Field(None, json_schema_extra={"readOnly": True})
    """The checksum of the function's files, which the study finds out."""

    hidden_units: list[Count] = key(
        "Units of each hidden layer. L2 acts on their kernels.",
        [128],
        allowed="a list of whole numbers above 0",
    )
    activation: Literal[
        "relu", "elu", "gelu", "leaky_relu", "linear", "selu", "sigmoid", "silu", "softplus",
        "softsign", "tanh",
    ] = key("The activation of the hidden layers, by its Keras name.", "relu")  # fmt: skip
    regularize_output: bool = key("Whether L2 also acts on the output layer's kernel.", False)
    regularizer: Literal["l2", "decoupled"] | None = key(
        """l2: lambda * sum(weights**2) is added to the loss. decoupled: each step subtracts
        learning_rate * 2 * lambda * weights instead, like Keras's weight_decay.""",
        absent="l2",
        example="decoupled",
    )
    l1: NotNegative | None = key(
        """Also adds l1 * sum(abs(weights)) to the loss, at every lambda. The reported penalty
        leaves it out.""",
        absent="0",
        example=1e-5,
    )


class Points(Keys):
    """How many epochs are evaluated."""

    points: int = key("How many epochs, not counting epoch 0.", ..., ge=2)


Epochs = Annotated[
    Annotated[Literal["all"], Value]
    | Annotated[list[Count], Some, Once, List]
    | Annotated[Points, Mapping],
    OF_KIND,
]


OptimizerName = Literal[
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lamb", "lion", "muon",
    "nadam", "rmsprop", "sgd",
]  # fmt: skip
ScheduleName = Literal[
    "cosine_decay", "cosine_decay_restarts", "exponential_decay", "inverse_time_decay",
    "piecewise_constant_decay", "polynomial_decay",
]  # fmt: skip


class Named(Keys):
    """A mapping with a name, and arguments that the name decides on."""

    model_config = ConfigDict(extra="allow")


class Optimizer(Named):
    """An optimiser and its arguments."""

    name: OptimizerName = key("Its name in Keras.", ...)


class Schedule(Named):
    """A schedule of the learning rate and its arguments."""

    name: ScheduleName = key("Its name in Keras.", ...)


class Training(Keys):
    """How to train the network."""

    optimizer: Annotated[
        Annotated[OptimizerName, Value] | Annotated[Optimizer, Mapping], OF_KIND
    ] = key(
        """The optimiser, or a mapping such as {name: sgd, nesterov: true, weight_decay: 0.001}.
        adamw and muon decay all weights with Keras's default weight_decay of 0.004, unless the
        regularizer is decoupled.""",
        "adam",
        allowed=f"{', '.join(get_args(OptimizerName))}, or a mapping",
    )
    learning_rate: Annotated[
        Annotated[float, Field(gt=0), Value] | Annotated[Schedule, Mapping],
        OF_KIND,
    ] = key(
        """The learning rate, or a Keras schedule such as {name: cosine_decay,
        initial_learning_rate: 0.1, decay_steps: 5000}, which counts steps, one per batch.""",
        0.001,
        allowed="a number above 0, or a mapping",
    )
    momentum: float | None = key(
        "The momentum of sgd or rmsprop. Other optimisers take it as an argument.",
        absent="none",
        example=0.9,
        ge=0,
        lt=1,
    )
    batch_size: Count = key(
        "Images per training step.",
        200,
        allowed="a whole number from 1 to the number of training images",
    )
    epochs: Count = key(
        "Passes through the training images.",
        50,
    )
    evaluate_at: Epochs = key(
        """The epochs after which to evaluate the network, besides 0 and the last. Fewer are faster
        and change no value. {points: 20} is 20 log-spaced epochs.""",
        {"points": 18},
        allowed="all, a list of epochs, or a mapping with points",
    )
    predict_at: Annotated[list[Count], Once] = key(
        """Epochs whose predictions to keep (60 kB for 16,000 images), besides the last and the
        best. Claims about other epochs are judged for other seeds only.""",
        [4, 8, 12, 20],
        allowed="a list of epochs; [] for none",
    )
    program: Literal["xla", "graph"] | None = key(
        """How to compile an epoch. xla is several times faster for Dense and recurrent layers,
        graph for others. Results differ by rounding or, with random layers, as between seeds.""",
        absent="what suits the model",
        example="graph",
    )


class Range(Keys):
    """Lambdas that are evenly spaced on a logarithmic scale."""

    first: float = key(
        "The smallest lambda above 0.",
        ...,
        alias="from",
        allowed="a number from 1e-12 to 1e6; `zero: true` adds 0",
        ge=1e-12,
        le=1e6,
    )
    to: float = key(
        "The largest lambda.",
        ...,
        allowed="a number above `from`, at most 1e6",
        ge=1e-12,
        le=1e6,
    )
    per_decade: int = key(
        """Lambdas per decade, rounded: 1 gives powers of ten; 2 adds three times these; 3 adds
        two and five times these instead; more have two digits. `from` and `to` must be among
        them.""",
        ...,
        ge=1,
        le=MOST_PER_DECADE,
    )
    zero: bool | None = switch("Whether to include 0.")
    extend: bool | None = switch(
        f"""Whether to add lambdas, at most {MOST_DECADES} decades, while the best may lie beyond an
        end (docs/variation.md)."""
    )
    now: Annotated[list[NotNegative], Some, Once] | None = Field(
        None, json_schema_extra={"readOnly": True}
    )
    """The lambdas of this round, which the study finds out."""

    def faults(self) -> Iterator[str]:
        """Yield what is wrong between these keys."""
        low, high = l2_label(self.first), l2_label(self.to)
        if self.to <= self.first:
            yield f"lambdas.to: {high} is not above lambdas.from, {low}; allowed: a larger number"
        for name, end in (("from", self.first), ("to", self.to)):
            if end not in even_grid(end, end, self.per_decade):
                *some, last = map(l2_label, factors_of(self.per_decade))
                of_grid = f"{', '.join(some)} or {last} times a" if some else "a"
                yield (
                    f"lambdas.{name}: {l2_label(end)} is not among {self.per_decade} per decade;"
                    f" allowed: {of_grid} power of ten"
                )


class Until(Keys):
    """When there are seeds enough."""

    measure: Literal[
        "gap_reported", "gap_lag", "gap_generalisation", "gap_split", "gap_endpoint", "gap_ce",
        "train_accuracy", "val_accuracy", "test_accuracy", "train_ce", "val_ce", "test_ce",
        "weight_norm",
    ] = key("The measure, at the last epoch.", ...)  # fmt: skip
    half_width: float = key(
        "The half width that its intervals over seeds may have, in its unit.", ..., gt=0
    )
    max_seeds: int = key("The most seeds to use.", ..., ge=2, le=10000)
    now: int | None = Field(None, ge=2, le=10000, json_schema_extra={"readOnly": True})
    """How many seeds there are in this round, which the study finds out."""


Levels = Annotated[
    Annotated[int, Field(ge=1, le=MOST_LEVELS), Value]
    | Annotated[list[Annotated[int, Field(ge=0, lt=MOST_LEVELS)]], Some, Once, List],
    OF_KIND,
]


def levels(of: str) -> FieldInfo:
    """Return the key with the levels of a source of variation."""
    return key(
        f"Levels of {of}.",
        allowed=f"1 to {MOST_LEVELS}, or a list of levels",
    )


class Seeds(Keys):
    """What a seed changes, level by level; or until when seeds are added."""

    weights: Levels | None = levels("the initial weights")
    order: Levels | None = levels("the batch order")
    split: Levels | None = levels("the stratified validation split")
    sample: Levels | None = levels("the choice of `dataset.train_size` images")
    until: Until | None = key(
        "Adds seeds in rounds.",
        allowed="a mapping with measure, half_width and max_seeds",
    )


Source = Literal["weights", "order", "split", "sample"]
Seed = Annotated[int, Field(ge=0, le=4294967295)]
SeedsOfAnyKind = Annotated[
    Annotated[int, Field(ge=2, le=10000), Value]
    | Annotated[list[Seed], Field(min_length=2), Once, List]
    | Annotated[Seeds, Mapping],
    OF_KIND,
]
Lambdas = Annotated[
    Annotated[list[NotNegative], Some, Once, List] | Annotated[Range, Mapping],
    OF_KIND,
]
Factor = Annotated[
    Annotated[list, Some, List] | Annotated[dict, Some, Mapping],
    OF_KIND,
    key("", ..., allowed="a list of values, or a mapping of levels with the keys of each"),
]


class Config(Keys):
    """Configuration of an L2 regularisation study."""

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] = key(
        "The name of the study. Its results go to results/<study>/.",
        "mnist",
        allowed="1 to 100 letters, digits, - and _ (quoted if it looks like a number)",
    )
    dataset: Dataset = Field({})
    validation: Validation = Field({})
    model: Model = Field({})
    training: Training = Field({})
    lambdas: Lambdas = key(
        """The L2 strengths, as in Keras.

        A mapping is a range on a logarithmic scale: {from: 1e-6, to: 1e-4, per_decade: 2, zero:
        true} is [0, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4].""",
        [0, 1e-5, 1e-4, 1e-3, 1e-2],
        allowed="a list of numbers of at least 0, or a mapping with from, to, per_decade, zero and"
        " extend",
    )
    seeds: SeedsOfAnyKind = key(
        """How often to train each lambda: 7 is seeds 0 to 6.

        A mapping crosses levels of the sources, as {weights: 4, order: 4, split: [0, 2]}, or adds
        seeds until intervals are narrow enough, as {until: {measure: gap_generalisation,
        half_width: 0.001, max_seeds: 60}} (docs/variation.md).""",
        7,
        allowed="a count from 2 to 10000, a list of 2 or more seeds, or a mapping with weights,"
        " order, split, sample or until",
    )
    variation: Annotated[list[Source], Some, Once] | None = key(
        "What a seed changes (docs/variation.md).",
        allowed="a list of weights, order, split, sample",
        absent="[weights, order]",
        example=["weights", "order", "split"],
    )
    reference_lambda: NotNegative = key(
        "The lambda to compare all others with. If it is not in `lambdas`, nothing is compared.",
        0,
    )
    choose_by: Literal["val_ce", "val_accuracy"] | None = key(
        """The best lambda has the lowest mean validation cross-entropy or the highest mean
        validation accuracy, after the last epoch.""",
        absent="val_ce",
        example="val_accuracy",
    )
    confidence: Share = key("The confidence level of all intervals.", 0.95)
    claims: Annotated[str, Some] | None = key(
        """The claims to judge. exercise: those of the teaching exercise. general: the same
        questions for any data and network. laws: published laws of L2 and of seeds.""",
        allowed="exercise, general, laws, or the path of your own ledger (docs/extending.md)",
        absent="exercise for MNIST with the exercise's network, else general",
        example="general",
    )
    factors: dict[Any, Factor] | None = key(
        """What to vary besides lambda and seed (docs/factors.md): a key with a list of values,
        or a name of your own with levels that each change several keys.""",
        allowed="a mapping of factors to their levels",
        example={
            "training.batch_size": [32, 128],
            "dataset.train_size": [1000, 5000],
            "optimizer": {
                "sgd": {"training": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}}
            },
        },
    )
    design: Literal["one_at_a_time", "full"] | None = key(
        """How to combine levels. one_at_a_time: the base, and each other level alone. full: every
        combination.""",
        absent="one_at_a_time",
        example="full",
    )
    allow_missing: bool | None = switch(
        """Build tables and report from existing runs without training the rest."""
    )
    allow_large: bool | None = switch("Allow more than 100,000 runs.")
    tensorboard: bool | None = switch(
        """Also write histories for TensorBoard, to results/<study>/tensorboard/."""
    )

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        for message in (*self._about_data(), *self._about_training(), *self._about_seeds()):
            raise ValueError(message)
        return self

    def _about_data(self) -> Iterator[str]:
        """Yield the faults between keys of data and lambdas; each message begins with a key."""
        if self.dataset.path is not None and self.dataset.load is not None:
            yield "dataset.load: given together with dataset.path; allowed: only one of them"
        if self.dataset.files is not None and self.dataset.load is None:
            yield "dataset.files: needs dataset.load, which is missing"
        if isinstance(self.lambdas, Range):
            yield from self.lambdas.faults()
            if self.lambdas.extend and isinstance(self.seeds, Seeds) and self.seeds.until:
                yield "lambdas.extend: given together with seeds.until; allowed: only one of them"

    def _about_training(self) -> Iterator[str]:
        """Yield the faults between keys of the network and its training."""
        training, model = self.training, self.model
        given = training.optimizer
        optimizer, options = (
            (given, {}) if isinstance(given, str) else (given.name, given.model_extra)
        )
        if training.momentum is not None and optimizer not in TAKES_MOMENTUM:
            yield (
                f"training.momentum: {training.momentum!r} is given, but the optimizer"
                f" {optimizer} takes none; allowed with: {', '.join(TAKES_MOMENTUM)}"
            )
        for name in ("learning_rate", "momentum"):
            if name in options:
                yield f"training.optimizer: {name} is among its arguments; allowed: training.{name}"
        if model.regularizer == "decoupled" and optimizer == "ftrl":
            yield (
                'model.regularizer: "decoupled" has no effect with ftrl, which computes the weights'
                " anew from its gradients in each step; allowed: l2"
            )
        if model.regularizer == "decoupled" and "weight_decay" in options:
            yield (
                'model.regularizer: "decoupled" is given, but the optimizer has a weight_decay of'
                " its own; allowed: only one of them"
            )
        if model.arguments is not None and model.build is None:
            yield "model.arguments: needs model.build, which is missing"
        if reserved := {"input_shape", "classes", "regularizer"} & set(model.arguments or ()):
            yield (
                f"model.arguments: the study itself passes {min(reserved)} to the function;"
                " allowed: other arguments"
            )
        epochs = training.evaluate_at
        if isinstance(epochs, list) and max(epochs) > training.epochs:
            yield (
                f"training.evaluate_at: epoch {max(epochs)} is after the last;"
                f" allowed: at most {training.epochs}, the number of epochs"
            )
        if not model.build and not model.hidden_units and not model.regularize_output:
            yield (
                "model.hidden_units: [] leaves no kernel to regularise;"
                " allowed: at least one layer, or regularize_output: true"
            )

    def _about_seeds(self) -> Iterator[str]:
        """Yield the faults between what a seed changes and other keys."""
        where, sources = "variation", self.variation or USUAL
        if isinstance(self.seeds, Seeds):
            levels = {s: own for s in SOURCES if (own := getattr(self.seeds, s)) is not None}
            if not self.seeds.until:
                where, sources = "seeds", levels
                yield from self._about_levels(levels)
            elif levels:
                yield (
                    f"seeds: until is given with {', '.join(levels)}; allowed: until alone, or"
                    " levels of sources"
                )
        if "split" in sources and self.validation.split != "stratified":
            yield (
                f"validation.split: {self.validation.split} keeps the same images for every seed,"
                f" but {where} has split; allowed: stratified, or no split in {where}"
            )
        if "sample" in sources and self.dataset.train_size is None:
            yield (
                f"dataset.train_size: missing, but {where} has sample; allowed: fewer images than"
                f" there are, or no sample in {where}"
            )

    def _about_levels(self, levels: dict[str, int | list[int]]) -> Iterator[str]:
        if self.variation:
            yield (
                f"variation: {', '.join(self.variation)} is given, but a crossed design names its"
                " sources in seeds; allowed: only with seeds as a count or a list"
            )
        if all(own == 1 or (isinstance(own, list) and len(own) == 1) for own in levels.values()):
            yield (
                f"seeds: {', '.join(levels) or '{}'} with one level each give a single run per"
                " lambda; allowed: at least two combinations"
            )
