// When to come back after a lost connection: full jitter, inside the window that the server advised.

/**
 * Milliseconds until attempt `attempt` (0 = the first after the loss). The cap doubles from twice the advised minimum
 * to the maximum; `jitter` (0..1) of what lies above the minimum is left to chance, so that a fleet does not return at once.
 */
export function backoff(attempt, { min_ms, max_ms, jitter = 1 }, random = Math.random) {
  const cap = Math.min(max_ms, min_ms * 2 ** Math.min(attempt + 1, 20));
  const room = Math.max(0, cap - min_ms);
  return Math.round(min_ms + room * (1 - jitter) + room * jitter * random());
}
