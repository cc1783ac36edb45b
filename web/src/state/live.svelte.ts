// The lists as they are now: read once, then kept by events. Without contact they stay, and say as of when.
import { SvelteMap } from 'svelte/reactivity';
import { ApiError, all, send } from '../api/client';
import type { Agent, Listening, MonitoringRequest } from '../api/types';
import { apply, parse, replace, subject, type LiveEvent } from './apply';
import { Batch } from './batch';
import { clock } from './clock.svelte';
import { session } from './session.svelte';
import { Stream, type Line } from './stream';

export type { LiveEvent } from './apply';

/** Beyond these the agents are searched on the engine. */
export const AGENTS_MAX = 4000;
const REQUESTS_MAX = 2000;
/** Directory changes that no event tells (a removed agent) show after this at the latest. */
const REFRESH_MS = 5 * 60_000;

class Live {
  readonly agents = new SvelteMap<string, Agent>();
  readonly requests = new SvelteMap<string, MonitoringRequest>();
  readonly listenings = new SvelteMap<string, Listening>();
  /** `error`: nothing could be read yet; `lost`: what is shown is as of `asOf`. */
  state = $state<'loading' | 'live' | 'lost' | 'error'>('loading');
  asOf = $state.raw<Date | null>(null);
  /** Why `error`. */
  problem = $state.raw<ApiError | null>(null);
  /** There are more agents than `agents` holds: search on the engine. */
  moreAgents = $state(false);
  /** Counts what changed the lists: for who looks now and then. */
  changes = 0;
  #retryAt = $state<number | null>(null);

  #stream: Stream | null = null;
  #line: Line = { state: 'connecting' };
  #loading: Promise<void> | null = null;
  #loaded = false;
  /** The lists do not follow from the events seen: read them again. */
  #gap = true;
  /** Events that came while the lists were read: they are younger than what was read, or in it. */
  #held: LiveEvent[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #handlers = new Set<(event: LiveEvent) => void>();
  #batch = new Batch<LiveEvent>((events) => {
    this.changes++;
    for (const event of events) apply(this, event);
  });

  /** Seconds until the next try, counting down. */
  get retryIn(): number | null {
    return clock.now && this.#retryAt !== null ? Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000)) : null;
  }

  start(): void {
    if (this.#stream) return;
    this.#gap = true;
    this.#stream = new Stream((messages) => messages.forEach((message) => this.#event(parse(message))), (line) => this.#follow(line));
    this.#stream.start();
    this.#timer = setInterval(() => !document.hidden && this.state === 'live' && void this.reload(), REFRESH_MS);
  }

  /** At the end of a session; the lists stay for one who signs in again. */
  stop(): void {
    clearInterval(this.#timer);
    this.#stream?.stop();
    this.#stream = null;
    this.#batch.run();
  }

  /** Forgets everything: another user may sit down. */
  clear(): void {
    this.stop();
    this.#batch.clear();
    for (const map of [this.agents, this.requests, this.listenings]) map.clear();
    this.#loaded = false;
    this.state = 'loading';
    this.asOf = null;
  }

  retryNow(): void {
    this.#retryAt = Date.now();
    this.#stream?.retryNow();
  }

  /** Each event as it comes, before the lists know it (they change once a frame). Until the returned function is called. */
  onEvent(handler: (event: LiveEvent) => void): () => void {
    this.#handlers.add(handler);
    return () => void this.#handlers.delete(handler);
  }

  /** The answer to a command of this page, without waiting for its event. */
  put(item: { request: MonitoringRequest } | { listening: Listening } | { agent: Agent }): void {
    this.changes++;
    apply(this, { id: '', name: 'answer', at: '', ...item });
  }

  /** Reads the lists again. */
  reload(): Promise<void> {
    return (this.#loading ??= this.#load().finally(() => (this.#loading = null)));
  }

  #event(event: LiveEvent | null): void {
    if (!event) return;
    if (event.name === 'resync') {
      this.#gap = true;
      void this.reload();
    }
    if (this.#loading) this.#held.push(event);
    else this.#queue(event);
    for (const handler of this.#handlers) handler(event);
  }

  #queue(event: LiveEvent): void {
    const key = subject(event);
    if (key) this.#batch.add(key, event);
  }

  #follow(line: Line): void {
    this.#line = line;
    if (line.state === 'lost') {
      this.#retryAt = line.retryAt;
      this.asOf ??= new Date(line.asOf || Date.now());
      if (this.#loaded) this.state = 'lost';
      else void this.reload();
    } else if (line.state === 'open') {
      this.#retryAt = null;
      if (this.#gap) void this.reload();
      else this.#show();
    }
  }

  async #load(): Promise<void> {
    // A `resync` or a new line while we read sets it again.
    this.#gap = this.#line.state !== 'open';
    try {
      await this.#read();
      this.#loaded = true;
      this.problem = null;
      if (this.#line.state !== 'open') this.asOf = new Date();
      else if (this.#gap) return await this.#load();
      this.#show();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) return;
      this.#gap = true;
      this.problem = error;
      this.state = this.#loaded ? 'lost' : 'error';
      this.asOf ??= new Date();
      if (this.#line.state === 'open') this.#again(error.retryAfter ?? 5);
    }
  }

  async #read(): Promise<void> {
    const orders = session.user?.role !== 'integrator';
    const [agents, requests, listenings, me] = await Promise.all([
      all<Agent>('/v1/agents', {}, AGENTS_MAX),
      orders ? all<MonitoringRequest>('/v1/requests', { state: 'active' }, REQUESTS_MAX) : [],
      orders ? all<Listening>('/v1/listenings', { live: true }, REQUESTS_MAX) : [],
      send('GET', '/v1/me'),
    ]);
    clock.sync(me.headers.get('Date'));
    this.#batch.run();
    replace(this.agents, agents);
    replace(this.requests, requests);
    replace(this.listenings, listenings);
    this.changes++;
    this.moreAgents = agents.length >= AGENTS_MAX;
    for (const event of this.#held.splice(0)) this.#queue(event);
    this.#batch.run();
  }

  /** The line is open, but the lists could not be read. */
  #again(seconds: number): void {
    this.#retryAt = Date.now() + seconds * 1000;
    setTimeout(() => this.#stream && void this.reload(), seconds * 1000);
  }

  #show(): void {
    const open = this.#line.state === 'open';
    this.state = open || this.#line.state === 'connecting' ? 'live' : 'lost';
    if (open) [this.asOf, this.#retryAt] = [null, null];
  }
}

export const live = new Live();
