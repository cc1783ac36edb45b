// What the card shows besides the player: listenings on phones, with their levels by server-sent events while somebody looks.
import { untrack } from 'svelte';
import { ApiError, json, send } from '../api/client';
import type { Call, Layout, Levels, Listening } from '../api/types';
import { Loudness } from '../listen/loudness.svelte';
import { live } from './live.svelte';
import { player } from './player.svelte';
import { session } from './session.svelte';

export interface MixChange { layout?: Layout; agent_gain_db?: number; caller_gain_db?: number; level_matching?: boolean }

const FIGURES_MS = 3000;
/** A slider that moves is not a request a pixel. */
const GATHER_MS = 200;

class Watch {
  /** The card is on the screen. */
  onScreen = $state(false);
  readonly loudness = new Loudness();
  problem = $state.raw<ApiError | null>(null);
  #chosen = $state<string | null>(null);
  #closed = $state.raw<ReadonlySet<string>>(new Set());
  #call = $state.raw<Call | null>(null);
  #change: MixChange = {};
  #timer = 0;
  #rung: string | null = null;

  /** One's own, those that are heard or ring first, the ended ones last. */
  list = $derived.by((): Listening[] => {
    const me = session.user?.id;
    const rank = { live: 0, confirming: 1, ringing: 1, waiting: 2, ended: 3 };
    return [...live.listenings.values()]
      .filter((listening) => listening.ordered_by === me && !this.#closed.has(listening.id))
      .sort((a, b) => rank[a.state] - rank[b.state] || (b.ended_at ?? b.ringing_at ?? '').localeCompare(a.ended_at ?? a.ringing_at ?? ''));
  });

  shown = $derived.by((): Listening | null => {
    const chosen = this.list.find((listening) => listening.id === this.#chosen);
    if (chosen) return chosen;
    if (player.current && player.phase !== 'ended') return player.current;
    const open = this.list.find((listening) => listening.state !== 'ended' && listening.state !== 'waiting');
    return open ?? player.current ?? this.list.find((listening) => listening.state === 'ended') ?? null;
  });

  others = $derived(this.list.filter((listening) => listening.id !== this.shown?.id && listening.state !== 'ended'));

  get call(): Call | null {
    return this.#call?.id === this.shown?.call ? this.#call : null;
  }

  choose(id: string): void {
    this.#chosen = id;
  }

  /** An ended one goes from the card. */
  close(id: string): void {
    this.#closed = new Set([...this.#closed, id]);
    if (this.#chosen === id) this.#chosen = null;
    if (player.current?.id === id) player.dismiss();
  }

  /** To be called while a component shows the card. */
  run(): void {
    $effect(() => {
      // what rings is shown, whatever was chosen before
      const ringing = player.phase === 'ringing' ? (player.current?.id ?? null) : null;
      if (ringing && ringing !== untrack(() => this.#rung)) this.#chosen = null;
      this.#rung = ringing;
    });
    $effect(() => {
      const call = this.shown?.call;
      if (call && untrack(() => this.#call?.id) !== call) void this.#read(call);
    });
    const watched = $derived(this.shown && this.shown.listener.kind !== 'page' && this.shown.state === 'live' ? this.shown.id : null);
    $effect(() => {
      if (!watched || !this.onScreen) return;
      const [levels, timer] = [this.#levels(watched), window.setInterval(() => void this.#look(watched), FIGURES_MS)];
      return () => {
        levels.close();
        clearInterval(timer);
      };
    });
    $effect(() => {
      void watched;
      untrack(() => this.loudness.clear());
    });
  }

  /** What a phone hears, and how loud; gathered for a moment, so that a slider sends a few. */
  change(listening: Listening, change: MixChange): void {
    Object.assign(this.#change, change);
    live.put({
      listening: {
        ...listening,
        layout: change.layout ?? listening.layout,
        level_matching: change.level_matching ?? listening.level_matching,
        gains: { agent_db: change.agent_gain_db ?? listening.gains.agent_db, caller_db: change.caller_gain_db ?? listening.gains.caller_db },
      },
    });
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => {
      const body = this.#change;
      this.#change = {};
      void this.#try(async () => {
        live.put({ listening: await json<Listening>('PATCH', `/v1/listenings/${listening.id}`, { body }) });
      }).then((done) => { if (!done) void this.#look(listening.id); });
    }, GATHER_MS);
  }

  async hangUp(listening: Listening): Promise<void> {
    await this.#try(() => send('DELETE', `/v1/listenings/${listening.id}`));
    await this.#look(listening.id);
  }

  /** Silence for every listener of the call while card data is said. */
  async shield(listening: Listening, on: boolean): Promise<void> {
    await this.#try(() => send('PUT', `/v1/calls/${listening.call}/shield`, { body: { on } }));
    await this.#look(listening.id);
  }

  #levels(id: string): EventSource {
    const source = new EventSource(`/v1/listenings/${id}/levels`);
    source.addEventListener('levels', (event: MessageEvent<string>) => {
      const { agent, caller } = JSON.parse(event.data) as Levels;
      this.loudness.push(performance.now(), agent, caller);
    });
    return source;
  }

  async #look(id: string): Promise<void> {
    const listening = await json<Listening>('GET', `/v1/listenings/${id}`).catch(() => null);
    // a slider that has not sent yet knows better
    if (listening && Object.keys(this.#change).length === 0) live.put({ listening });
  }

  async #read(call: string): Promise<void> {
    this.#call = await json<Call>('GET', `/v1/calls/${call}`).catch(() => null);
  }

  async #try(what: () => Promise<unknown>): Promise<boolean> {
    this.problem = null;
    try {
      await what();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.problem = error;
      return false;
    }
  }
}

export const watch = new Watch();
