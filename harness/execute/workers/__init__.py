"""Where stages are computed: in this process, or in several that start afresh.

All take stages and answer with events, so that one dispatcher serves them.
"""

from harness.execute.workers.attempt import attempt
from harness.execute.workers.here import Here
from harness.execute.workers.processes import Processes
from harness.execute.workers.protocol import Workers

__all__ = ["Here", "Processes", "Workers", "attempt"]
