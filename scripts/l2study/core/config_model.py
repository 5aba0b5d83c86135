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


class Fault(ValueError):
    """What is wrong between several keys. The message is one line, and begins with a key."""


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
    """Return a key.

    Args:
        text: says what the key means.
        default: the value where none is given: None for a key that may be left out, `...` for one
            that must be given.
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
Count = Field(ge=1)

Function = Field(pattern=r"^[^:\n]+\.py:[A-Za-z_]\w*$")

# Of several kinds of value, the one is checked that was given, so that a fault is about that.
OF_KIND = Discriminator(lambda value: {dict: "mapping", list: "list"}.get(type(value), "value"))
Value, List, Mapping = Tag("value"), Tag("list"), Tag("mapping")


Size = Annotated[
    Annotated[int, Count, Value]
    | Annotated[list[Annotated[int, Count]], Field(min_length=2, max_length=2), List],
    OF_KIND,
]


DataName = Literal[
    "mnist", "fashion_mnist", "cifar10", "cifar100", "digits", "breast_cancer", "wine", "iris"
]


class Dataset(Keys):
    """What a network is trained on, and which class it is to find."""

    name: DataName | None = key(
        """A data set by its name. mnist is part of the project. Keras downloads fashion_mnist,
        cifar10 and cifar100 on first use; fashion_mnist is read from Debian's package
        dataset-fashion-mnist if that is installed. digits, breast_cancer, wine and iris come with
        scikit-learn, and have no test part.""",
        "mnist",
    )
    path: Annotated[str, Some] | None = key(
        """Data of your own, in place of `name`: an .npz file with the arrays x_train, y_train,
        x_test and y_test, or with those of MedMNIST, and perhaps groups_test; a table (.csv,
        .csv.gz or .parquet); a folder with a folder of PNG or JPEG images for each class; or a
        folder of IDX files. A relative path starts from the folder in which you start the study
        (docs/data-and-models.md).""",
        allowed="the path of a file or of a folder",
        example="data/mine.npz",
    )
    load: Annotated[str, Function] | None = key(
        """A function of your own that returns the data, in place of `name`: a Python file and a
        function in it, which takes no arguments. It returns a dict with the arrays x_train and
        y_train, and perhaps x_val, y_val, x_test, y_test and groups_test; or ((x_train, y_train),
        (x_test, y_test)), as in Keras. A change of the file, or of a module of its folder that it
        imports, prepares the data again; a change of files that it reads does so if they are in
        `files`.""",
        allowed="FILE.py:FUNCTION",
        example="data.py:load",
    )
    files: Annotated[list[Annotated[str, Some]], Some, Once] | None = key(
        """The files that the function of `load` reads, and folders of such files. Their content
        counts as part of the data: a change prepares the data again. A relative path starts from
        the folder in which you start the study.""",
        allowed="a list of 1 or more paths; only with dataset.load",
        example=["scans.npy"],
    )
    label: Annotated[str, Some] | None = key(
        """The column of a table that has the class of each row. All others are the input, and must
        be numbers.""",
        allowed="the name of a column; needed for a table, and for nothing else",
        example="species",
    )
    group: Annotated[str, Some] | None = key(
        """The column of a table that says which group a row comes from, such as a patient, in words
        or whole numbers. It is no input. Intervals for other images are then for rows of other
        groups.""",
        allowed="the name of a column; only for a table",
        absent="rows are taken as independent",
        example="patient",
    )
    image_size: Size | None = key(
        """The height and width that images of a folder are scaled to, in pixels. One number is
        both. The proportions of an image are not kept.""",
        allowed="a whole number of at least 1, or a list of two: height, width",
        absent="as they are, which must be of one size",
        example=[32, 48],
    )
    color: Literal["rgb", "grayscale"] | None = key(
        """Whether images of a folder are read with three colours, or in shades of gray. Their shape
        is then (height, width, 3), or (height, width).""",
        absent="rgb",
        example="grayscale",
    )
    test_fraction: float | None = key(
        """The share of the rows to set aside for the test, where the data have no test part. They
        are drawn at random so that every class keeps its share, and are the same for every seed
        and in every set-up.""",
        allowed="a number above 0 and below 1; needed where the data have no test part, and only"
        " there",
        example=0.2,
        gt=0,
        lt=1,
    )
    scale: Literal["pixels", "standardize", "none"] | None = key(
        """What is done to the numbers of the input. pixels: they are divided by 255. standardize:
        each number of an input, such as a column of a table, has its mean subtracted and is divided
        by its standard deviation, both over the training rows of the run; one that never varies is
        divided by 1. none: nothing.""",
        absent="pixels for unsigned 8-bit integers, none for all else",
        example="standardize",
    )
    train_size: int | None = key(
        """Use only this many training rows, to study small data. They are drawn after the
        validation rows are set aside, and every class keeps its share. Validation and test rows
        stay the same. All are the same for every seed, unless `variation` says otherwise.""",
        allowed="a whole number of at least 1, up to the number of training rows",
        absent="all of them",
        example=5000,
        ge=1,
    )
    label_noise: float | None = key(
        """The share of the training labels that are replaced by another class, drawn at random. The
        same labels are replaced for every lambda and seed with the same training rows. A larger
        share keeps what a smaller one replaces. Validation and test labels stay the same.""",
        absent="0, no noise",
        example=0.2,
        ge=0,
        lt=1,
    )


class Validation(Keys):
    """Which rows of the training part are kept for validation."""

    split: Literal["tail", "stratified", "given"] = key(
        """Which rows of the training part to keep for validation. tail: the last rows in the file,
        as Keras's `validation_split` takes them. stratified: rows drawn at random so that every
        class keeps its share. They are the same for every seed, unless a seed changes the split
        (see `variation`). given: the validation part that the data come with, which the other two
        leave out.""",
        "tail",
    )
    fraction: float = key(
        """The share of the training part to keep for validation. It has no meaning with `split:
        given`.""",
        0.1,
        gt=0,
        lt=1,
    )


class Model(Keys):
    """The network: hidden Dense layers, then a Dense layer with softmax; or one of your own."""

    build: Annotated[str, Function] | None = key(
        """A network of your own: a Python file and a function in it. The function is given
        `input_shape` (of one input, without the batch), `classes` and `regularizer`, and returns a
        Keras model that is not compiled. Lambda acts on every layer that the function gives the
        regularizer to. A relative path starts from the folder in which you start the study
        (docs/your-model.md). The keys of the built-in network are then of no use.""",
        allowed="FILE.py:FUNCTION",
        absent="the built-in network of Dense layers",
        example="models.py:lenet",
    )
    arguments: dict[str, Any] | None = key(
        "Further arguments of the function, by their names.",
        allowed="a mapping of names and values",
        example={"dropout": 0.5},
    )
    code: str | None = Field(None, json_schema_extra={"readOnly": True})
    """The checksum of the function's files, which the study finds out."""

    hidden_units: list[Annotated[int, Count]] = key(
        """The number of units in each hidden layer: [128] is one layer of 128, [256, 64] is two
        layers. L2 acts on the kernels of these layers.""",
        [128],
        allowed="a list of whole numbers of at least 1",
    )
    activation: Literal[
        "relu", "elu", "gelu", "leaky_relu", "linear", "selu", "sigmoid", "silu", "softplus",
        "softsign", "tanh",
    ] = key("The activation function of the hidden layers, by its Keras name.", "relu")  # fmt: skip
    regularize_output: bool = key("Whether L2 acts on the kernel of the output layer too.", False)
    regularizer: Literal["l2", "decoupled"] | None = key(
        """How lambda acts on these kernels. l2: lambda times the sum of the squared weights is
        added to the loss. decoupled: nothing is added to the loss; in every step the optimiser
        takes the share learning_rate * 2 * lambda from the weights, as Keras does with
        weight_decay; with adamw and muon, in place of their own default.""",
        absent="l2",
        example="decoupled",
    )
    l1: float | None = key(
        """L1 beside lambda, on the same weights and the same at every lambda: l1 times the sum of
        the absolute weights is added to the loss. The penalty that is reported is without it.""",
        absent="0, no L1",
        example=1e-5,
        ge=0,
    )


class Points(Keys):
    """How many epochs are evaluated."""

    points: int = key("How many epochs to evaluate, epoch 0 not counted.", ..., ge=2)


Epochs = Annotated[
    Annotated[Literal["all"], Value]
    | Annotated[list[Annotated[int, Count]], Some, Once, List]
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

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name."""
        return self.model_extra


class Optimizer(Named):
    """An optimiser and its arguments."""

    name: OptimizerName = key("The optimiser, by its Keras name.", ...)


class Schedule(Named):
    """A schedule of the learning rate and its arguments."""

    name: ScheduleName = key("The schedule, by its Keras name.", ...)


class Training(Keys):
    """How the network is trained."""

    optimizer: Annotated[
        Annotated[OptimizerName, Value] | Annotated[Optimizer, Mapping], OF_KIND
    ] = key(
        """The optimiser, by its Keras name; or a mapping of its name and further arguments, such as
        {name: sgd, nesterov: true, weight_decay: 0.001}. adamw and muon also decay all weights at
        every lambda, with Keras's default weight_decay of 0.004, unless the regularizer is
        decoupled.""",
        "adam",
        allowed=f"{', '.join(get_args(OptimizerName))}; or a mapping with the key name, and"
        " arguments of this optimiser",
    )
    learning_rate: Annotated[
        Annotated[float, Field(gt=0), Value] | Annotated[Schedule, Mapping],
        OF_KIND,
    ] = key(
        """The learning rate of the optimiser; or a schedule of Keras, as a mapping of its name and
        arguments, such as {name: cosine_decay, initial_learning_rate: 0.1, decay_steps: 5000}.
        Keras counts in steps: an epoch has the number of training images over the batch size.""",
        0.001,
        allowed="a number above 0; or a mapping with the key name, one of"
        f" {', '.join(get_args(ScheduleName))}, and arguments of this schedule",
    )
    momentum: float | None = key(
        "The momentum of sgd or rmsprop. Other optimisers take theirs as an argument, if any.",
        absent="no momentum",
        example=0.9,
        ge=0,
        lt=1,
    )
    batch_size: int = key(
        """How many images each training step uses. The exercise does not state its batch size. 200
        comes closest to its results.""",
        200,
        allowed="a whole number of at least 1, up to the number of training images",
        ge=1,
    )
    epochs: int = key(
        """How many times training goes through all training images. The default is long enough to
        see the validation cross-entropy rise again without L2.""",
        50,
        ge=1,
    )
    evaluate_at: Epochs = key(
        """After which epochs the network is evaluated. Fewer evaluations make a long training much
        faster, and change neither the training nor the values after these epochs. Epoch 0 and the
        last epoch are always evaluated. {points: 20} is 20 epochs, evenly spaced on a logarithmic
        scale from 1 to the last.""",
        {"points": 18},
        allowed="all, a list of epochs such as [1, 2, 4, 8, 20], or a mapping with the key points",
    )
    predict_at: Annotated[list[Annotated[int, Count]], Once] = key(
        """After which of these epochs to keep what a run predicts for each validation and test
        image, about 60 kB for 16,000 images. It is always kept for the last epoch, and for the one
        with the lowest validation cross-entropy. A claim on another epoch is judged for other
        images only if the predictions after it are kept. The default has the epochs of the
        exercise's claims.""",
        [4, 8, 12, 20],
        allowed="a list of whole numbers of at least 1; [] for none",
    )
    program: Literal["xla", "graph"] | None = key(
        """How an epoch is compiled. xla is several times faster for Dense and recurrent layers,
        and slower, by as much, for convolutions, attention and Dropout. Results differ by rounding;
        with random layers, such as Dropout, they differ as those of another seed.""",
        absent="what suits the layers of the model",
        example="graph",
    )


class Range(Keys):
    """Lambdas that are evenly spaced on a logarithmic scale."""

    first: float = key(
        "The smallest lambda above 0.",
        ...,
        alias="from",
        allowed="a number of at least 1e-12 and at most 1e6; `zero: true` adds 0",
        ge=1e-12,
        le=1e6,
    )
    to: float = key(
        "The largest lambda.",
        ...,
        allowed="a number above `from`, and at most 1e6",
        ge=1e-12,
        le=1e6,
    )
    per_decade: int = key(
        """How many lambdas there are in a decade. They are rounded as people write them. With 1
        they are powers of ten; with 2, powers of ten and three times these; with 3, powers of ten
        and two and five times these. More have two digits. Both ends must be among them.""",
        ...,
        ge=1,
        le=MOST_PER_DECADE,
    )
    zero: bool | None = switch("Whether 0, no regularisation, is a lambda, too.")
    extend: bool | None = switch(
        f"""Whether to add lambdas in rounds, one step beyond an end at a time, while the best by
        `choose_by` is at that end or may lie beyond it in any set-up. At most
        {MOST_DECADES} decades beyond either end; 0 is no end (docs/variation.md)."""
    )
    now: Annotated[list[Annotated[float, Field(ge=0)]], Some, Once] | None = Field(
        None, json_schema_extra={"readOnly": True}
    )
    """The lambdas of this round, which the study finds out."""

    def fault(self) -> str | None:
        """Return what is wrong between these keys, if anything is."""
        low, high = l2_label(self.first), l2_label(self.to)
        if self.to <= self.first:
            return f"lambdas.to: {high} is not above lambdas.from, {low}; allowed: a larger number"
        for name, end in (("from", self.first), ("to", self.to)):
            if end not in even_grid(end, end, self.per_decade):
                *some, last = map(l2_label, factors_of(self.per_decade))
                of_grid = f"{', '.join(some)} or {last} times a" if some else "a"
                return (
                    f"lambdas.{name}: {l2_label(end)} is not among {self.per_decade} per decade;"
                    f" allowed: {of_grid} power of ten"
                )
        return None


class Until(Keys):
    """When there are seeds enough."""

    measure: Literal[
        "gap_reported", "gap_lag", "gap_generalisation", "gap_split", "gap_endpoint", "gap_ce",
        "train_accuracy", "val_accuracy", "test_accuracy", "train_ce", "val_ce", "test_ce",
        "weight_norm",
    ] = key("The measure whose intervals are to be narrow, at the last epoch.", ...)  # fmt: skip
    half_width: float = key(
        "The half width that an interval of its mean over seeds may have, in its unit.",
        ...,
        gt=0,
    )
    max_seeds: int = key("The study never has more seeds than these.", ..., ge=2, le=10000)
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
        f"Levels of {of}, in a crossed design.",
        allowed=f"a count of at least 1 and at most {MOST_LEVELS}, or a list of 1 or more whole"
        f" numbers of at least 0 and at most {MOST_LEVELS - 1}",
    )


class Seeds(Keys):
    """What a seed changes, level by level; or until when seeds are added."""

    weights: Levels | None = levels("the initial weights")
    order: Levels | None = levels("the order of the batches")
    split: Levels | None = levels("the validation split, which must be stratified")
    sample: Levels | None = levels("the choice of `dataset.train_size` training images")
    until: Until | None = key(
        """Seeds in rounds, in place of levels: first the seeds 0 to 9, then as many as it takes
        until the intervals of a measure are narrow enough at every lambda in every set-up.""",
        allowed="a mapping with the keys measure, half_width, max_seeds",
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
    Annotated[list[Annotated[float, Field(ge=0)]], Some, Once, List] | Annotated[Range, Mapping],
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
        allowed="text of 1 to 100 letters, digits, - and _ (in quotes where it looks like a"
        " number)",
    )
    dataset: Dataset = Field({})
    validation: Validation = Field({})
    model: Model = Field({})
    training: Training = Field({})
    lambdas: Lambdas = key(
        """The strengths of regularisation, as Keras counts them: lambda times the sum of the
        squared weights is added to the loss. 0 means no regularisation. Their order does not
        matter. If you add one later, only its own runs are trained.

        A mapping is a range, evenly spaced on a logarithmic scale: {from: 1e-6, to: 1e-4,
        per_decade: 2, zero: true} is [0, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4]. With extend: true, the
        study adds lambdas until the best is inside.""",
        [0, 1e-5, 1e-4, 1e-3, 1e-2],
        allowed="a list of 1 or more numbers of at least 0; or a mapping with the keys from, to,"
        " per_decade, and perhaps zero and extend",
    )
    seeds: SeedsOfAnyKind = key(
        """How often each lambda is trained. Each seed sets different initial weights and a
        different batch order, unless `variation` says otherwise. 7 means the seeds 0 to 6.

        A mapping is a crossed design, such as {weights: 4, order: 4, split: [0, 2]}: levels for
        each source of variation, and every combination is a run (docs/variation.md). Or it is seeds
        in rounds, until intervals are narrow enough:
        {until: {measure: gap_generalisation, half_width: 0.001, max_seeds: 60}}.""",
        7,
        allowed="a count of at least 2 and at most 10000; a list of 2 or more whole numbers of at"
        " least 0 and at most 4294967295; a mapping of one or more of weights, order, split,"
        " sample, each with its levels; or a mapping of until alone",
    )
    variation: Annotated[list[Source], Some, Once] | None = key(
        """What a seed changes. weights: the initial weights. order: the order of the batches.
        split: which images are kept for validation, if `validation.split` is stratified. sample:
        which of the others are trained on, if `dataset.train_size` leaves some out. A source that
        is not in the list is the same for every seed. A crossed design in `seeds` names its sources
        itself, and takes no `variation`.""",
        allowed="a list of 1 or more of weights, order, split, sample",
        absent="[weights, order]",
        example=["weights", "order", "split"],
    )
    reference_lambda: float = key(
        """The lambda that all others are compared with. If it is not in `lambdas`, nothing is
        compared.""",
        0,
        ge=0,
    )
    choose_by: Literal["val_ce", "val_accuracy"] | None = key(
        """What the best lambda is chosen by, after the last epoch: the lowest mean validation
        cross-entropy, or the highest mean validation accuracy. The report leads with this choice,
        and says where the other differs. It trains nothing again.""",
        absent="val_ce",
        example="val_accuracy",
    )
    confidence: float = key("The confidence level of every interval.", 0.95, gt=0, lt=1)
    claims: Annotated[str, Some] | None = key(
        """The claims to judge. exercise has the claims of the teaching exercise, with its figures
        for MNIST. general asks the same questions about lambda of any data and network. laws has
        laws of L2 and of seeds that others have published (studies/laws.yaml).""",
        allowed="exercise, general, laws, or the path of a ledger of your own (docs/extending.md)",
        absent="exercise for MNIST with the network of the exercise, else general",
        example="general",
    )
    factors: dict[Any, Factor] | None = key(
        """What is varied besides lambda and seed. The study is then made in several set-ups: the
        configuration itself, called the base, and others that differ from it. A factor is a key of
        dataset, validation, model or training with a list of values; or a name of your own with
        levels, each with the keys that it changes. A value that the base has anyway may be in a
        list; null takes a key away. Adding a factor or a level trains its own runs only
        (docs/factors.md).""",
        allowed="a mapping of factors, each with its levels",
        example={
            "training.batch_size": [32, 128],
            "dataset.train_size": [1000, 5000],
            "optimizer": {
                "sgd": {"training": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}}
            },
        },
    )
    design: Literal["one_at_a_time", "full"] | None = key(
        """How the levels of the factors are combined. one_at_a_time is the base, and every other
        level alone, with the base for all other factors. full is every combination, the base's own
        values included.""",
        absent="one_at_a_time",
        example="full",
    )
    allow_missing: bool | None = switch(
        """Build tables and report from existing runs without training the rest. The report names
        the missing runs. For one command only: --config allow_missing=true."""
    )
    allow_large: bool | None = switch(
        "A study of more than 100,000 runs is refused unless this is true."
    )
    tensorboard: bool | None = switch(
        """Write every run's history for TensorBoard too, to results/<study>/tensorboard/. Nothing
        is trained for it. To look at it: tensorboard --logdir results/mnist/tensorboard."""
    )

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        if self.dataset.path is not None and self.dataset.load is not None:
            raise Fault("dataset.load: is given with dataset.path; allowed: one of the two")
        if self.dataset.files is not None and self.dataset.load is None:
            raise Fault("dataset.files: is given without dataset.load; allowed: with it")
        if isinstance(self.lambdas, Range) and (found := self.lambdas.fault()):
            raise Fault(found)
        until = isinstance(self.seeds, Seeds) and self.seeds.until
        if until and isinstance(self.lambdas, Range) and self.lambdas.extend:
            raise Fault("lambdas.extend: is given with seeds.until; allowed: one of the two")
        for message in (*self._about_training(), *self._about_seeds()):
            raise Fault(message)
        return self

    def _about_training(self) -> Iterator[str]:
        """Yield the faults between keys of the network and its training."""
        training, model = self.training, self.model
        given = training.optimizer
        optimizer, options = (
            (given, {}) if isinstance(given, str) else (given.name, given.arguments)
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
                'model.regularizer: "decoupled" is given, but ftrl makes the weights anew from its'
                " gradients in each step, whatever was taken from them; allowed: l2"
            )
        if model.regularizer == "decoupled" and "weight_decay" in options:
            yield (
                'model.regularizer: "decoupled" is given, but the optimizer has a weight_decay of'
                " its own; allowed: one of the two"
            )
        if model.arguments is not None and model.build is None:
            yield "model.arguments: is given without model.build; allowed: with a function of yours"
        if reserved := {"input_shape", "classes", "regularizer"} & set(model.arguments or ()):
            yield (
                f"model.arguments: {min(reserved)} is what the study gives to the function;"
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
                f" but a seed is to change the split; allowed: stratified, or no split in {where}"
            )
        if "sample" in sources and self.dataset.train_size is None:
            yield (
                "dataset.train_size: missing, but a seed is to change which training images are"
                f" used; allowed: fewer than there are, or no sample in {where}"
            )

    def _about_levels(self, levels: dict[str, int | list[int]]) -> Iterator[str]:
        if self.variation:
            yield (
                f"variation: {', '.join(self.variation)} is given, but seeds names its sources"
                " itself; allowed with: seeds as a count or a list"
            )
        if all(own == 1 or (isinstance(own, list) and len(own) == 1) for own in levels.values()):
            yield (
                f"seeds: {', '.join(levels) or '{}'} with one level each is a single run of every"
                " lambda; allowed: at least two combinations"
            )
