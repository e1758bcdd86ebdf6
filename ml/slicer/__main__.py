"""Compiles the slicer's decision, so that a service that starts does not have to."""

from ml.slicer.compiled_deciding import Deciding
from ml.slicer.weights import load

if __name__ == "__main__":
    Deciding(load())
