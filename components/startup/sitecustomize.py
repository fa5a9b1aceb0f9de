"""Runs first of all in a worker of the node, before Crossbar is imported (its folder is on the worker's `pythonpath`).

Crossbar's imports take 3 s of processor time in every process, and the node has four. Two cores that import three workers at once
answer the first lock call later than two that import router and locks first. So a worker can be told, by FORMLOCK_IMPORT_AFTER, to
wait until the router listens before it imports anything.
"""

import gc
import os
import socket
import sys
import time

WAIT_AT_MOST_S = 30

# Nothing that is imported becomes garbage, but looking for some takes a tenth of the time; wamp.Session turns it on again.
gc.disable()

_path = os.environ.get("FORMLOCK_IMPORT_AFTER")
if _path and "--cbdir" in sys.orig_argv:
    # Crossbar goes into the node's folder only later: until then this is the folder that the node was started in.
    _path = os.path.join(sys.orig_argv[sys.orig_argv.index("--cbdir") + 1], _path)
_limit = time.monotonic() + WAIT_AT_MOST_S
while _path and time.monotonic() < _limit:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as _probe:
        if _probe.connect_ex(_path) == 0:
            break
    time.sleep(0.05)
