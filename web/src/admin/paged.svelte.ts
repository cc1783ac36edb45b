// A list that comes page by page: the next page on demand, an older answer never over a newer one.
import { ApiError, json, type Options } from '../api/client';
import type { Page } from '../api/types';

/** Rows of an export at most. */
export const EXPORT_MAX = 100_000;

export class Paged<T> {
  items = $state.raw<T[]>([]);
  state = $state<'loading' | 'ready' | 'error'>('loading');
  error = $state.raw<ApiError | null>(null);
  /** The next page is on its way. */
  busy = $state(false);
  #cursor = $state<string | null>(null);
  #path = '';
  #query: Options['query'] = {};
  #running: AbortController | null = null;

  get hasMore(): boolean {
    return this.#cursor !== null;
  }

  /** The list from its beginning; what was on its way is given up. */
  async load(path: string, query: Options['query'] = {}, quietly = false): Promise<void> {
    [this.#path, this.#query] = [path, query];
    if (!quietly) this.state = 'loading';
    await this.#fetch(null);
  }

  async more(): Promise<void> {
    if (this.#cursor && !this.busy) await this.#fetch(this.#cursor);
  }

  again(): Promise<void> {
    return this.load(this.#path, this.#query);
  }

  async #fetch(cursor: string | null): Promise<void> {
    this.#running?.abort();
    const running = (this.#running = new AbortController());
    this.busy = true;
    try {
      const query = { limit: 50, ...this.#query, cursor };
      const page = await json<Page<T>>('GET', this.#path, { query, signal: running.signal });
      if (running.signal.aborted) return;
      this.items = cursor ? [...this.items, ...page.items] : page.items;
      this.#cursor = page.next_cursor;
      [this.error, this.state] = [null, 'ready'];
    } catch (error) {
      if (running.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
      if (!cursor) this.state = 'error';
    } finally {
      if (this.#running === running) this.busy = false;
    }
  }
}

/** Every page for an export, telling how many there are so far; `cut` where there were more than EXPORT_MAX. */
export async function collect<T>(
  path: string, query: Options['query'], signal: AbortSignal, tell: (so_far: number) => void,
): Promise<{ items: T[]; cut: boolean }> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<T> = await json('GET', path, { query: { ...query, limit: 200, cursor }, signal });
    items.push(...page.items);
    cursor = page.next_cursor;
    tell(items.length);
  } while (cursor && items.length < EXPORT_MAX);
  return { items, cut: cursor !== null };
}
