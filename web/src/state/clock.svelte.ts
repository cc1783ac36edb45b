// One clock for everything that ticks, and it tells the engine's time: a viewer's computer may be minutes off.

class Clock {
  /** Milliseconds since 1970 as the engine counts them, once a second. */
  now = $state(Date.now());
  #offset = 0;

  constructor() {
    setInterval(() => (this.now = Date.now() + this.#offset), 1000);
  }

  /** Takes over the time of an answer's `Date` header; below two seconds it is the header's coarseness. */
  sync(date: string | null): void {
    const difference = date ? Date.parse(date) - Date.now() : NaN;
    if (Number.isNaN(difference)) return;
    this.#offset = Math.abs(difference) > 2000 ? difference : 0;
    this.now = Date.now() + this.#offset;
  }
}

export const clock = new Clock();
