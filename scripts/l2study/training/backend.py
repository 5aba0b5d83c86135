"""TensorFlow and Keras, imported once and set up for a batch job.

Import `tf` and `keras` from here, not directly: what matters must be in the environment before
the first import. Whatever the environment and ~/.keras/keras.json say, the numbers are the same.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
# Below this level TensorFlow's library writes pages on how it was compiled. What makes it fail
# comes as an exception, or at this level.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Its other kernel library chooses the order of sums by what it finds at run time.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
# What tells the compilers to round otherwise; where CUDA is may be told.
for _name in ("TF_XLA_FLAGS", "XLA_FLAGS", "OPENBLAS_CORETYPE"):
    _flags = os.environ.pop(_name, "").split()
    if _flags := [flag for flag in _flags if flag.startswith("--xla_gpu_cuda_data_dir=")]:
        os.environ[_name] = " ".join(_flags)
# NumPy's own linear algebra is small here, and gives the same bits with one thread everywhere.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# Keras and TensorFlow import these where they find them and need none of them here: leaving them
# out halves the import time and saves a quarter of the memory of every training job.
_NOT_NEEDED = ["IPython", "PIL", "grpc", "matplotlib", "pandas", "scipy", "sklearn", "tensorboard"]
_hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))
try:
    import tensorflow as tf
    import keras  # isort: skip  # after TensorFlow, which it would import with its own settings
finally:
    for name in _hidden:
        del sys.modules[name]

# The defaults of Keras, in place of those of its configuration file.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
keras.config.set_dtype_policy("float32")

__all__ = ["configure", "keras", "tf"]


def configure(threads: int) -> None:
    """Let this process compute with `threads` threads, and on a GPU where there is one.

    Memory of a GPU is taken as it is needed, so that jobs can share it.

    Raises:
        RuntimeError: TensorFlow has already computed something.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
