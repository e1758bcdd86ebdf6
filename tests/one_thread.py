"""One thread a process: imported before numpy and torch are.

The suite runs a process a core. Threads of OpenMP and BLAS within each would spin against one another, and everything
take several times as long. Child processes inherit it.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
