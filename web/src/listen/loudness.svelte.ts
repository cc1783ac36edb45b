// What meters and ribbon of one listening show: published ten times a second, or once where motion is to be reduced.
import { SILENCE, next, type Side } from './levels';
import { Ribbon, type Summary } from './ribbon';

const WORDS_MS = 500;
const SUMMARY_MS = 3000;
const CALM_MS = 1000;
const calm = matchMedia('(prefers-reduced-motion: reduce)');

export class Loudness {
  agent = $state.raw<Side>(SILENCE);
  caller = $state.raw<Side>(SILENCE);
  /** In words, twice a second at most: words that flicker are not read. */
  speaking = $state.raw({ agent: false, caller: false });
  summary = $state.raw<Summary | null>(null);
  /** Grows whenever the ribbon is to be drawn again. */
  drawn = $state(0);
  readonly ribbon = new Ribbon();
  #now = { agent: SILENCE, caller: SILENCE };
  #published = { meters: -1e9, words: -1e9, summary: -1e9 };

  push(at: number, agent: { db: number; speaking?: boolean }, caller: { db: number; speaking?: boolean }): void {
    this.#now = {
      agent: next(this.#now.agent, agent.db, at, agent.speaking),
      caller: next(this.#now.caller, caller.db, at, caller.speaking),
    };
    this.ribbon.push(at, this.#now.agent, this.#now.caller);
    if (at - this.#published.meters >= (calm.matches ? CALM_MS : 0)) {
      this.#published.meters = at;
      [this.agent, this.caller] = [this.#now.agent, this.#now.caller];
      this.drawn += 1;
    }
    if (at - this.#published.words >= WORDS_MS) {
      this.#published.words = at;
      const speaking = { agent: this.#now.agent.speaking, caller: this.#now.caller.speaking };
      if (speaking.agent !== this.speaking.agent || speaking.caller !== this.speaking.caller) this.speaking = speaking;
    }
    if (at - this.#published.summary >= SUMMARY_MS) {
      this.#published.summary = at;
      this.summary = this.ribbon.summary(at);
    }
  }

  clear(): void {
    this.ribbon.clear();
    this.#now = { agent: SILENCE, caller: SILENCE };
    [this.agent, this.caller, this.summary] = [SILENCE, SILENCE, null];
    this.speaking = { agent: false, caller: false };
    this.#published = { meters: -1e9, words: -1e9, summary: -1e9 };
    this.drawn += 1;
  }
}
