"""The benchmark over the real wire: our shipped node beside Socket.IO in memory, driven by one client with the same work."""
