"""What a backend installs to say that a record has changed: `Pusher().push(form, change_set)`. Needs pyzmq and nothing else."""

from formlock_push.message import MAX_BYTES, Update
from formlock_push.names import escape, topic, topic_of_type, unescape
from formlock_push.pusher import DEFAULT_ADDRESS, Pusher

__all__ = ["DEFAULT_ADDRESS", "MAX_BYTES", "Pusher", "Update", "escape", "topic", "topic_of_type", "unescape"]
