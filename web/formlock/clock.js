// The client's own clock: milliseconds that never go back and do count sleep.

/**
 * `performance.now()` stands still while some machines sleep, `Date.now()` jumps when the time is set. The larger of the two steps
 * counts: a clock set forward makes us give up too early, never too late.
 * @param {() => number} [steady] @param {() => number} [wall] @returns {() => number}
 */
export function makeClock(steady = () => performance.now(), wall = () => Date.now()) {
  let elapsed = 0;
  let lastSteady = steady();
  let lastWall = wall();
  return () => {
    const nextSteady = steady();
    const nextWall = wall();
    elapsed += Math.max(nextSteady - lastSteady, nextWall - lastWall, 0);
    lastSteady = nextSteady;
    lastWall = nextWall;
    return elapsed;
  };
}
