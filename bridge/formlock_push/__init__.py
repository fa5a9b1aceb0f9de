"""What a backend installs to say that a record has changed: `Pusher().push(form, change_set)`. Needs pyzmq and nothing else."""

from formlock_push.keys import InvalidKeys, Keys
from formlock_push.letter import Outcome
from formlock_push.message import MAX_BYTES, Update
from formlock_push.names import escape, topic, topic_of_type, unescape
from formlock_push.pusher import DEFAULT_ADDRESS, Pusher
from formlock_push.reliable import ACKNOWLEDGED_ADDRESS, ReliablePusher
from formlock_push.spool import Bounds

__all__ = [
    "ACKNOWLEDGED_ADDRESS",
    "DEFAULT_ADDRESS",
    "MAX_BYTES",
    "Bounds",
    "InvalidKeys",
    "Keys",
    "Outcome",
    "Pusher",
    "ReliablePusher",
    "Update",
    "escape",
    "topic",
    "topic_of_type",
    "unescape",
]
