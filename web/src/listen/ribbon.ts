// Who spoke in the last 30 seconds: a ring of buckets by time, so that a throttled tab leaves gaps instead of squeezing time.

export const SPAN_MS = 30_000;
export const BUCKETS = 100;
export const BUCKET_MS = SPAN_MS / BUCKETS;

export interface Bucket {
  /** The loudest of each side, 0 to 1. */
  agent: number;
  caller: number;
  agentSpoke: boolean;
  callerSpoke: boolean;
}

/** Shares of the time that was heard, in whole percent. */
export interface Summary { agent: number; caller: number; both: number; silence: number; seconds: number }

export class Ribbon {
  #buckets = new Map<number, Bucket>();

  push(at: number, agent: { value: number; speaking: boolean }, caller: { value: number; speaking: boolean }): void {
    const index = Math.floor(at / BUCKET_MS);
    const old = this.#buckets.get(index);
    this.#buckets.set(index, {
      agent: Math.max(agent.value, old?.agent ?? 0),
      caller: Math.max(caller.value, old?.caller ?? 0),
      agentSpoke: agent.speaking || (old?.agentSpoke ?? false),
      callerSpoke: caller.speaking || (old?.callerSpoke ?? false),
    });
    for (const key of this.#buckets.keys()) {
      if (key > index - BUCKETS) break;
      this.#buckets.delete(key);
    }
  }

  /** `BUCKETS` of them, the oldest first; `null` where nothing was heard. */
  window(at: number): (Bucket | null)[] {
    const newest = Math.floor(at / BUCKET_MS);
    return Array.from({ length: BUCKETS }, (_, n) => this.#buckets.get(newest - BUCKETS + 1 + n) ?? null);
  }

  summary(at: number): Summary {
    const heard = this.window(at).filter((bucket) => bucket !== null);
    const share = (is: (bucket: Bucket) => boolean): number =>
      heard.length ? Math.round((100 * heard.filter(is).length) / heard.length) : 0;
    return {
      agent: share((bucket) => bucket.agentSpoke && !bucket.callerSpoke),
      caller: share((bucket) => bucket.callerSpoke && !bucket.agentSpoke),
      both: share((bucket) => bucket.agentSpoke && bucket.callerSpoke),
      silence: share((bucket) => !bucket.agentSpoke && !bucket.callerSpoke),
      seconds: Math.round((heard.length * BUCKET_MS) / 1000),
    };
  }

  clear(): void {
    this.#buckets.clear();
  }
}
