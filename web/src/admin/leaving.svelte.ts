// Deleting with a way back: what is deleted goes after a while, or at once when the page is left; never is it forgotten.
import { SvelteMap } from 'svelte/reactivity';
import { ApiError, send } from '../api/client';

/** As long as a toast with its Undo stays. */
export const UNDO_MS = 10_000;

export class Leaving {
  readonly ids = new SvelteMap<string, ReturnType<typeof setTimeout>>();
  constructor(
    readonly path: (id: string) => string,
    readonly failed: (id: string, error: ApiError) => void,
    readonly gone: (id: string) => void,
  ) {}

  add(id: string): void {
    if (!this.ids.has(id)) this.ids.set(id, setTimeout(() => void this.#carryOut(id), UNDO_MS));
  }

  /** False where it was too late. */
  undo(id: string): boolean {
    clearTimeout(this.ids.get(id));
    return this.ids.delete(id);
  }

  /** The page or the view is left. */
  flush = (): void => {
    for (const id of [...this.ids.keys()]) void this.#carryOut(id);
  };

  async #carryOut(id: string): Promise<void> {
    clearTimeout(this.ids.get(id));
    try {
      await send('DELETE', this.path(id), { keepalive: true });
      this.gone(id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.failed(id, error);
    } finally {
      this.ids.delete(id);
    }
  }
}
