// The order form's state: the draft, what is wrong with it, and what the engine thinks of it before it is sent.
import { ApiError, all, json, newKey } from '../../api/client';
import type { Agent, MonitoringRequest, OrderBody, User, Warning } from '../../api/types';
import { clock } from '../../state/clock.svelte';
import { live } from '../../state/live.svelte';
import { session } from '../../state/session.svelte';
import { body, faults, firstUntil, sameListener, type Draft, type Field } from './draft';

const CHECK_MS = 400;

let lastWho: Draft['who'] = 'page';
let users: Promise<User[]> | null = null;

export class Form {
  draft = $state<Draft>({ who: lastWho, user: '', agent: '', number: '', calls: '2', ...firstUntil(clock.now) });
  users = $state.raw<User[]>([]);
  tried = $state(false);
  touched = $state<Partial<Record<Field, boolean>>>({});
  sending = $state(false);
  /** Of the order itself. */
  problem = $state.raw<unknown>(null);
  /** Of the look before it (`dry_run`). */
  foreseen = $state.raw<ApiError | null>(null);
  warnings = $state.raw<Warning[]>([]);
  #key = newKey();
  #sent = '';

  readonly me = session.user?.id ?? '';
  trainee = $derived.by(() => find(this.draft.agent));
  faults = $derived.by(() => faults(this.draft, clock.now, this.agent.id, this.trainee?.id ?? null));
  body = $derived.by(() => body(this.draft, this.#minute, this.agent.id, this.trainee?.id ?? null, this.me));
  same = $derived(Object.keys(this.faults).some((field) => field === this.draft.who) ? null : sameListener(this.body, live.requests.values(), this.me));

  constructor(private readonly agent: Agent) {
    // Kept by the page for a while: a list of people does not change while one orders.
    users ??= all<User>('/v1/users').catch(() => ((users = null), []));
    void users.then((list) => (this.users = list));
  }

  /** The clock, but not its seconds: the body is the same all minute long. */
  get #minute(): number {
    return Math.floor(clock.now / 60_000) * 60_000;
  }

  shows(field: Field): boolean {
    // A time that has passed is said at once; what is not yet written only when one leaves it.
    return this.faults[field] !== undefined && (this.tried || this.touched[field] === true || this.faults[field] === 'ePassed');
  }

  /** Asks the engine, without ordering, when the draft rests. To be called where the form is shown. */
  follow(): void {
    const text = $derived(Object.keys(this.faults).length ? null : JSON.stringify(this.body));
    $effect(() => {
      this.foreseen = null;
      this.warnings = [];
      if (text === null) return;
      const abort = new AbortController();
      const timer = setTimeout(() => void this.#check(text, abort.signal), CHECK_MS);
      return () => {
        clearTimeout(timer);
        abort.abort();
      };
    });
  }

  async #check(text: string, signal: AbortSignal): Promise<void> {
    try {
      const request = await json<MonitoringRequest>('POST', '/v1/requests', { query: { dry_run: true }, body: JSON.parse(text) as OrderBody, signal });
      this.warnings = request.warnings;
    } catch (error) {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 401) this.foreseen = error;
    }
  }

  /** The request, or `null` where something is wrong. The same order sent twice is one order. */
  async send(): Promise<MonitoringRequest | null> {
    this.tried = true;
    if (Object.keys(this.faults).length || this.sending) return null;
    const text = JSON.stringify(this.body);
    if (text !== this.#sent) [this.#sent, this.#key] = [text, newKey()];
    this.sending = true;
    this.problem = null;
    try {
      const request = await json<MonitoringRequest>('POST', '/v1/requests', { body: this.body, headers: { 'Idempotency-Key': this.#key } });
      live.put({ request });
      lastWho = this.draft.who === 'page' || this.draft.who === 'softphone' ? this.draft.who : lastWho;
      return request;
    } catch (error) {
      this.problem = error;
      // A refusal is kept under its key: the next try is another order.
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) this.#sent = '';
      return null;
    } finally {
      this.sending = false;
    }
  }
}

/** What the field's list offers. */
export const label = (agent: Agent): string => `${agent.name} (${agent.number})`;

/** The one agent that is meant: as offered, or by its number or id. */
function find(text: string): Agent | null {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return null;
  const named: Agent[] = [];
  for (const agent of live.agents.values()) {
    if (label(agent).toLowerCase() === wanted || agent.number === wanted || agent.id.toLowerCase() === wanted) return agent;
    if (agent.name.toLowerCase() === wanted) named.push(agent);
  }
  return named.length === 1 ? (named[0] ?? null) : null;
}
