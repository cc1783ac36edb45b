// Events come hundreds a second; the page changes once a frame. What changes twice in a frame changes once.

/** Work of one frame: the latest of each thing, in the order of first mention. */
export class Batch<T> {
  #latest = new Map<string, T>();
  #scheduled: (() => void) | null = null;

  constructor(
    private readonly flush: (items: T[]) => void,
    private readonly schedule: (run: () => void) => () => void = nextFrame,
  ) {}

  add(key: string, item: T): void {
    this.#latest.set(key, item);
    this.#scheduled ??= this.schedule(() => this.run());
  }

  run(): void {
    this.#scheduled?.();
    this.#scheduled = null;
    const items = [...this.#latest.values()];
    this.#latest.clear();
    if (items.length) this.flush(items);
  }

  clear(): void {
    this.#scheduled?.();
    this.#scheduled = null;
    this.#latest.clear();
  }
}

/** A hidden tab has no frames, but has to ring. */
function nextFrame(run: () => void): () => void {
  const frame = requestAnimationFrame(run);
  const timer = setTimeout(run, 250);
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
}
