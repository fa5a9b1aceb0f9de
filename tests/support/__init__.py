"""What several kinds of tests share: a real node, a WAMP client, and waiting for events with a limit."""
