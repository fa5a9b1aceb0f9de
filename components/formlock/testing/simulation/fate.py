"""What happens to the service, by chance: crashes, pauses, a new router, a clock set anew, a failing disk, a second server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from formlock.testing.simulation.server import Server

if TYPE_CHECKING:
    from formlock.testing.simulation.world import World


class Fate:
    """Strikes now and then, until it is `calm`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.calm = False
        every: list[tuple[Callable[[], None], int]] = [
            (self._crash, 3),
            (self._pause, 4),
            (self._restart_router, 1),
            (self._set_clock, 2),
            (self._fail_disk, 2),
            (self._second_server, 1),
        ]
        blows = [(blow, weight) for blow, weight in every if self.random.random() < 0.6]
        self._blows = [blow for blow, _ in blows]
        self._weights = [weight for _, weight in blows]
        self._rest_ms = self.random.choice([4_000, 15_000, 60_000])

    def strike(self) -> None:
        """One blow, and the next later."""
        if self.calm:
            return
        if self._blows:
            self.random.choices(self._blows, self._weights)[0]()
        self.world.clock.later(self.random.randrange(500, 2 * self._rest_ms), self.strike)

    def _server(self) -> Server | None:
        server = self.world.server
        return server if server is not None and server.process.alive else None

    def _crash(self) -> None:
        server = self._server()
        if server is not None:
            self.world.note("fate", "kills the server")
            self.world.kill(server)
            self.world.boot_later(self.random.randrange(200, 4_000))

    def _pause(self) -> None:
        server = self._server()
        if server is None or server.process.paused:
            return
        for_ms = self.random.choice([900, 2_900, 3_100, 6_000, 20_000, 100_000])
        self.world.note("fate", "pauses the server for", for_ms)
        server.process.paused = True
        self.world.clock.later(for_ms, lambda: self.world.resume(server))

    def _restart_router(self) -> None:
        if not self.world.router.up:
            return
        self.world.note("fate", "restarts the router")
        self.world.restart_router(self.random.randrange(500, 8_000))

    def _set_clock(self) -> None:
        by_ms = self.random.choice([-1, 1]) * self.random.choice([50, 1_500, 60_000, 600_000])
        self.world.note("fate", "sets the clock by", by_ms)
        self.world.wall_step += by_ms

    def _fail_disk(self) -> None:
        for_ms = self.random.choice([300, 3_000, 15_000])
        self.world.note("fate", "lets the disk fail for", for_ms)
        self.world.disk.fails_until = self.world.clock.now() + for_ms

    def _second_server(self) -> None:
        """The router has given the first up, a second one is started; the first goes on, or wakes up, and knows nothing of it."""
        first = self._server()
        if first is None or first.process.paused or not self.world.router.up:
            return
        self.world.note("fate", "starts a second server beside the first")
        first.process.paused = self.random.random() < 0.7
        self.world.second_server(first)
        self.world.clock.later(self.random.choice([100, 5_000, 30_000]), lambda: self.world.resume(first))
        self.world.clock.later(130_000, lambda: self.world.kill(first))
