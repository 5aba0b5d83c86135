"""Code shared by the stages of the L2 regularisation study.

Importing the package itself loads nothing: every module imports what it needs, so that reading the
workflow never pays for TensorFlow or pandas.
"""
