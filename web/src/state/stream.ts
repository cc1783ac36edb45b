// One stream of events per browser: the tab that holds the lock reads it and tells the others (an HTTP/1.1 browser has six
// connections to an engine, and a supervisor has many tabs). When that tab closes, another goes on after the same event.
import { ApiError, send } from '../api/client';
import { delay } from './backoff';
import { read, type Message } from './sse';
import { hear, tell } from './tabs';

/** `asOf`: when the engine was last heard; `retryAt`: when it is tried again. */
export type Line =
  | { state: 'connecting' | 'open' }
  | { state: 'lost'; asOf: number; retryAt: number };

/** Without a comment for so long (one comes every 15 s) the line is dead, whatever TCP thinks. */
const SILENCE_MS = 40_000;

export class Stream {
  #lastId = '';
  #line: Line = { state: 'connecting' };
  #abort = new AbortController();
  #leads = false;
  #wake: (() => void) | null = null;
  #heardAt = 0;

  constructor(
    private readonly onMessages: (messages: Message[]) => void,
    private readonly onLine: (line: Line) => void,
  ) {}

  start(): void {
    const { signal } = this.#abort;
    const stops = [
      hear<Message[]>('events', (messages) => this.#take(messages)),
      hear<Line>('line', (line) => !this.#leads && this.#set(line)),
      hear('who-leads', () => this.#leads && tell('line', this.#line)),
      hear('retry', () => this.#wake?.()),
    ];
    signal.addEventListener('abort', () => stops.forEach((stop) => stop()));
    if (navigator.locks) void navigator.locks.request('medlytt-events', { signal }, () => this.#lead(signal)).catch(() => {});
    else void this.#lead(signal);
    tell('who-leads');
  }

  stop(): void {
    this.#abort.abort();
  }

  retryNow(): void {
    if (this.#leads) this.#wake?.();
    else tell('retry');
  }

  async #lead(signal: AbortSignal): Promise<void> {
    this.#leads = true;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const opened = this.#heardAt;
      const retryAfter = await this.#connect(signal);
      if (signal.aborted || retryAfter === 'signed-out') return;
      if (this.#heardAt !== opened) attempt = 0;
      const seconds = delay(attempt, retryAfter);
      this.#say({ state: 'lost', asOf: this.#heardAt, retryAt: Date.now() + seconds * 1000 });
      await this.#sleep(seconds * 1000, signal);
    }
  }

  /** Until the line breaks; how many seconds the engine asks to wait. */
  async #connect(signal: AbortSignal): Promise<number | null | 'signed-out'> {
    const dead = new AbortController();
    const watch = setInterval(() => Date.now() - Math.max(since, this.#heardAt) > SILENCE_MS && dead.abort(), 5000);
    const since = Date.now();
    const headers: Record<string, string> = this.#lastId ? { 'Last-Event-ID': this.#lastId } : {};
    try {
      const response = await send('GET', '/v1/events', { headers, signal: AbortSignal.any([signal, dead.signal]) });
      this.#heardAt = Date.now();
      this.#say({ state: 'open' });
      await read(response, () => (this.#heardAt = Date.now()), (messages) => {
        tell('events', messages);
        this.#take(messages);
      });
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return 'signed-out';
      if (error instanceof ApiError) return error.retryAfter;
    } finally {
      clearInterval(watch);
      dead.abort();
    }
    return null;
  }

  #take(messages: Message[]): void {
    this.#lastId = messages.at(-1)?.id || this.#lastId;
    this.onMessages(messages);
  }

  #say(line: Line): void {
    tell('line', line);
    this.#set(line);
  }

  #set(line: Line): void {
    this.#line = line;
    this.onLine(line);
  }

  #sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        removeEventListener('online', done);
        signal.removeEventListener('abort', done);
        this.#wake = null;
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#wake = done;
      addEventListener('online', done);
      signal.addEventListener('abort', done);
    });
  }
}
