// The page's own player: carries out what `listen/machine.ts` decides, by WHEP, WebAudio, bell and API. It lives as long as the
// page, so that the sound goes on whatever view is open. `<html data-player>` tells its phase to whoever tests it.
import { untrack } from 'svelte';
import { ApiError, json, send } from '../api/client';
import type { Listening, MonitoringRequest } from '../api/types';
import { t } from '../i18n/index.svelte';
import { Bell } from '../listen/bell';
import { Loudness } from '../listen/loudness.svelte';
import { IDLE, idOf, plays, step, type Act, type EndedBy, type Input, type Phase, type State, type Trouble, type Why } from '../listen/machine';
import { Peer } from '../listen/peer';
import { between, counters, grade, type Counters, type Grade, type Sound as Quality } from '../listen/quality';
import { Sound, mayPlay } from '../listen/sound';
import { live } from './live.svelte';
import { session } from './session.svelte';
import { hear, tell } from './tabs';

/** When a call is answered without a click. */
export type AnswerBy = 'click' | 'order' | 'always';

/** An order made in this tab so long ago still counts as the click that answers. */
const JUST_ORDERED_MS = 15_000;
const METER_MS = 100;
const STATS_MS = 2000;
/** Figures of a listening (heard, counted, quality) have no event of their own. */
const FIGURES_MS = 3000;
/** So that an order that answers at once does not ring first. */
const BELL_AFTER_MS = 250;
const PLAYED = 'medlytt.played';
const SETTINGS = 'medlytt.player';

interface Settings { volume: number; balance: number; spread: boolean; ring: boolean; answer: AnswerBy }

class Player {
  #state = $state.raw<State>(IDLE);
  #view = $state.raw<Listening | null>(null);
  #settings = $state<Settings>(stored());
  muted = $state(false);
  /** Whether the browser lets the page make a sound. */
  mayPlay = $state(mayPlay());
  /** What the engine said when it refused. */
  problem = $state.raw<ApiError | null>(null);
  quality = $state.raw<{ grade: Grade; sound: Quality } | null>(null);
  /** When this tab's sound began. */
  since = $state.raw<Date | null>(null);
  readonly loudness = new Loudness();

  readonly #sound = new Sound();
  readonly #bell = new Bell();
  readonly #ordered = new Map<string, number>();
  #peer: Peer | null = null;
  #next: Peer | null = null;
  #timer = 0;
  #bellTimer = 0;
  #beats: number[] = [];
  #before: Counters | null = null;
  #running = false;

  get phase(): Phase {
    return this.#state.phase;
  }

  get current(): Listening | null {
    return this.#state.phase === 'idle' ? null : this.#view;
  }

  get why(): Why {
    return 'why' in this.#state ? this.#state.why : 'call';
  }

  get trouble(): Trouble | null {
    return this.#state.phase === 'ringing' ? this.#state.trouble : null;
  }

  get endedBy(): EndedBy | null {
    return this.#state.phase === 'ended' ? this.#state.by : null;
  }

  get isHeard(): boolean {
    return plays(this.#state);
  }

  get volume(): number { return this.#settings.volume; }
  set volume(volume: number) { this.#set({ volume }); }
  get balance(): number { return this.#settings.balance; }
  set balance(balance: number) { this.#set({ balance }); }
  get spread(): boolean { return this.#settings.spread; }
  set spread(spread: boolean) { this.#set({ spread }); }
  get answer(): AnswerBy { return this.#settings.answer; }
  set answer(answer: AnswerBy) { this.#set({ answer }); }
  get ring(): boolean { return this.#settings.ring; }
  set ring(ring: boolean) {
    this.#set({ ring });
    if (!ring) this.#bell.silence();
    else if (this.#isCalling) this.#bell.sound(this.#sound.open());
  }

  /** Watches listenings from now on; once, by whoever shows the player. */
  run(): void {
    if (this.#running) return;
    this.#running = true;
    $effect.root(() => {
      $effect(() => {
        const me = session.user?.id ?? null;
        const mine = [...live.listenings.values()].filter((listening) => listening.listener.kind === 'page' && listening.ordered_by === me);
        const known = live.state === 'live' && !mine.some((listening) => listening.id === this.current?.id);
        untrack(() => {
          if (session.state === 'out') this.#in({ type: 'reset' });
          else mine.forEach((listening) => this.#see(listening));
          // it ended while there was no line to tell it
          const id = idOf(this.#state);
          if (known && id && this.phase !== 'ended') void this.#look(id);
        });
      });
      $effect(() => {
        void [this.volume, this.balance, this.spread, this.muted];
        untrack(() => this.#mix());
      });
      $effect(() => {
        document.documentElement.dataset.player = this.phase;
      });
    });
    for (const name of ['pointerdown', 'keydown'] as const) addEventListener(name, () => this.#unlocked(), { capture: true, passive: true });
    addEventListener('online', () => this.#in({ type: 'online' }));
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible' && navigator.onLine) this.#in({ type: 'online' });
    });
    hear<string>('player', (took) => {
      if (took === idOf(this.#state)) this.#in({ type: 'taken' });
    });
  }

  /** Answers; with the click's right to make sound. */
  start(listening: Listening): void {
    this.#sound.open();
    this.#view = listening;
    this.problem = null;
    this.#in({ type: 'start', id: listening.id });
  }

  stop(): void {
    this.#in({ type: 'stop' });
  }

  /** Not this call; the request stays for the next one. */
  skip(): void {
    this.#in({ type: 'skip' });
  }

  dismiss(): void {
    this.#in({ type: 'dismiss' });
  }

  /** To be told in the click that ordered for this browser: if the agent is in a call, the sound starts without another one. */
  ordered(request: MonitoringRequest): void {
    this.#unlocked();
    this.#ordered.set(request.id, Date.now());
    if (this.#state.phase === 'ringing' && this.#view) this.#answerAlone(this.#view);
  }

  get #isCalling(): boolean {
    return this.#state.phase === 'ringing' && this.#state.why === 'call';
  }

  #see(listening: Listening): void {
    const here = sessionStorage.getItem(PLAYED) === listening.id;
    const id = idOf(this.#state);
    this.#in({ type: 'seen', id: listening.id, state: listening.state, here }, listening);
    if (listening.id === idOf(this.#state)) this.#view = listening;
    if (id !== listening.id && this.#isCalling && this.#view?.id === listening.id) this.#answerAlone(listening);
  }

  #answerAlone(listening: Listening): void {
    if (!this.#isCalling || !mayPlay()) return;
    const just = Date.now() - (this.#ordered.get(listening.request) ?? 0) < JUST_ORDERED_MS;
    if (this.answer === 'always' || (this.answer === 'order' && just)) this.start(listening);
  }

  #in(input: Input, view: Listening | null = null): void {
    const [state, acts] = step(this.#state, input);
    const before = this.#state;
    if (state !== before) {
      if (idOf(state) !== idOf(before)) [this.problem, this.quality, this.since] = [null, null, null];
      if (view && idOf(state) === view.id) this.#view = view;
      this.#state = state;
      if (state.phase !== 'connecting' && state.phase !== 'reconnecting') clearTimeout(this.#timer);
      if (state.phase === 'live' && before.phase === 'connecting') this.since = new Date();
      if (state.phase === 'ended' || (state.phase === 'ringing' && state.why === 'elsewhere')) sessionStorage.removeItem(PLAYED);
      this.#chime();
    }
    for (const act of acts) this.#do(act);
  }

  #do(act: Act): void {
    switch (act.do) {
      case 'offer': return void this.#offer(act.id);
      case 'restart': return void this.#restart(act.id);
      case 'look': return void this.#look(act.id);
      case 'hang-up': return void this.#hangUp(act.id);
      case 'close': return this.#close();
      case 'wait':
        clearTimeout(this.#timer);
        this.#timer = window.setTimeout(() => this.#in({ type: 'timeout', at: performance.now() }), act.ms);
    }
  }

  async #offer(id: string): Promise<void> {
    this.#next?.close();
    const peer: Peer = new Peer({
      track: (side, track) => { if (peer === this.#peer || peer === this.#next) this.#sound.attach(side, track); },
      connection: (state) => this.#connection(peer, state),
    });
    this.#next = peer;
    try {
      await peer.offer(id);
      if (peer !== this.#next) return;
      this.#peer?.close();
      [this.#peer, this.#next] = [peer, null];
      sessionStorage.setItem(PLAYED, id);
      tell('player', id);
      this.#beat();
      this.#in({ type: 'answered' });
    } catch (error) {
      peer.close();
      if (peer !== this.#next) return;
      this.#next = null;
      this.#refused(error);
    }
  }

  async #restart(id: string): Promise<void> {
    const peer = this.#peer;
    if (!peer) return;
    try {
      await peer.restart();
      if (peer === this.#peer) this.#in({ type: 'answered' });
    } catch (error) {
      if (peer !== this.#peer) return;
      // not this tab's any more: it ended, or another one has it
      if (error instanceof ApiError && error.status === 404) await this.#look(id, true);
      else this.#refused(error);
    }
  }

  #refused(error: unknown): void {
    const problem = error instanceof ApiError ? error : null;
    this.problem = problem;
    const trouble: Trouble = problem?.status === 0 ? 'unreachable' : problem?.code === 'not-ringing' ? 'not-ringing' : 'refused';
    this.#in({ type: 'refused', trouble });
  }

  #connection(peer: Peer, state: 'connected' | 'dropped'): void {
    if (peer !== this.#peer && peer !== this.#next) return;
    if (state === 'connected') this.#mix();
    this.#in(state === 'connected' ? { type: 'connected' } : { type: 'dropped', at: performance.now() });
  }

  /** What became of a listening; `lost`: its connection is not ours any more. */
  async #look(id: string, lost = false): Promise<void> {
    const listening = await json<Listening>('GET', `/v1/listenings/${id}`).catch(() => null);
    if (!listening) return;
    live.put({ listening });
    if (idOf(this.#state) !== id) return;
    if (lost && listening.state !== 'ended') this.#in({ type: 'taken' });
    else this.#see(listening);
    this.#view = listening;
  }

  async #hangUp(id: string): Promise<void> {
    // closed afterwards: the engine would see that first, and not know any more what is to be hung up
    const peer = this.#peer;
    this.#peer = null;
    try {
      if (peer?.isAnswered) await peer.hangUp();
      else await send('DELETE', `/v1/listenings/${id}`);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) this.problem = error instanceof ApiError ? error : null;
    } finally {
      peer?.close();
    }
    await this.#look(id);
  }

  #close(): void {
    this.#beats.forEach(clearInterval);
    this.#beats = [];
    this.#next?.close();
    this.#peer?.close();
    [this.#peer, this.#next, this.#before] = [null, null, null];
    this.#sound.rest();
    this.loudness.clear();
  }

  /** Meters, figures of the connection, figures of the listening. */
  #beat(): void {
    if (this.#beats.length) return;
    this.#mix();
    const every = (ms: number, what: () => void): number => window.setInterval(what, ms);
    this.#beats = [
      every(METER_MS, () => {
        const { agent, caller } = this.#sound.levels();
        this.loudness.push(performance.now(), { db: agent }, { db: caller });
      }),
      every(STATS_MS, () => void this.#measure()),
      every(FIGURES_MS, () => {
        const id = idOf(this.#state);
        if (id && document.visibilityState === 'visible' && navigator.onLine) void this.#look(id);
      }),
    ];
  }

  async #measure(): Promise<void> {
    const peer = this.#peer;
    const after = peer ? counters(performance.now(), await peer.reports().catch(() => [])) : null;
    if (peer !== this.#peer || !after) return;
    if (this.#before && this.#state.phase === 'live') {
      const sound = between(this.#before, after);
      this.quality = { grade: grade(sound), sound };
    }
    this.#before = after;
  }

  #mix(): void {
    const { volume, balance, spread } = this.#settings;
    this.#sound.mix({ volume, balance, spread, muted: this.muted });
  }

  #chime(): void {
    clearTimeout(this.#bellTimer);
    if (!this.#isCalling) {
      this.#bell.hush();
      if (!plays(this.#state)) this.#sound.rest();
      return;
    }
    this.#bellTimer = window.setTimeout(() => {
      const listening = this.#view;
      if (!this.#isCalling || !listening) return;
      const { name } = listening.agent;
      const body = [listening.caller_number, listening.queue].filter(Boolean).join(' · ');
      const audio = this.ring && mayPlay() ? this.#sound.open() : null;
      this.#bell.ring({ name, title: t('lis.incoming', { n: name }), body, audio });
    }, BELL_AFTER_MS);
  }

  #unlocked(): void {
    if (this.mayPlay || !mayPlay()) return;
    this.mayPlay = true;
    if (this.#isCalling && this.ring) this.#bell.sound(this.#sound.open());
  }

  #set(change: Partial<Settings>): void {
    Object.assign(this.#settings, change);
    localStorage.setItem(SETTINGS, JSON.stringify(this.#settings));
  }
}

function stored(): Settings {
  const usual: Settings = { volume: 80, balance: 0, spread: false, ring: true, answer: 'order' };
  try {
    const kept = JSON.parse(localStorage.getItem(SETTINGS) ?? '{}') as Partial<Record<keyof Settings, unknown>>;
    const number = (value: unknown, least: number, most: number, other: number): number =>
      typeof value === 'number' && value >= least && value <= most ? value : other;
    return {
      volume: number(kept.volume, 0, 100, usual.volume),
      balance: number(kept.balance, -10, 10, usual.balance),
      spread: kept.spread === true,
      ring: kept.ring !== false,
      answer: kept.answer === 'click' || kept.answer === 'always' ? kept.answer : usual.answer,
    };
  } catch {
    return usual;
  }
}

export const player = new Player();
