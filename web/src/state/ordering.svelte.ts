// Which agent the order form is about. On a narrow screen the form is a sheet over the page, which is inert meanwhile.
import { tick } from 'svelte';
import type { Agent } from '../api/types';
import { live } from './live.svelte';

const narrow = matchMedia('(max-width: 1100px)');

class Ordering {
  id = $state<string | null>(null);
  /** A request was asked to be shown: its row says so. */
  shown = $state<string | null>(null);
  #narrow = $state(narrow.matches);
  #last: Agent | null = null;

  constructor() {
    narrow.addEventListener('change', () => (this.#narrow = narrow.matches));
  }

  /** An agent that leaves the directory meanwhile stays in the form until it is closed: the engine says what is wrong. */
  get agent(): Agent | null {
    const agent = this.id === null ? null : (live.agents.get(this.id) ?? (this.#last?.id === this.id ? this.#last : null));
    this.#last = agent;
    return agent;
  }
  get sheet(): boolean {
    return this.#narrow && this.id !== null;
  }

  open(id: string): void {
    this.id = id;
    this.shown = null;
  }

  /** Focus goes back to where the order began. */
  async close(): Promise<void> {
    const id = this.id;
    this.id = null;
    await tick();
    if (id) focusOn(`[data-agent="${CSS.escape(id)}"]`) || focusOn('#h-agents');
  }

  async show(request: string): Promise<void> {
    this.id = null;
    this.shown = request;
    await tick();
    focusOn(`[data-request="${CSS.escape(request)}"]`);
  }
}

/** Whether there was something to focus. */
export function focusOn(selector: string): boolean {
  const element = document.querySelector<HTMLElement>(selector);
  element?.scrollIntoView({ block: 'nearest' });
  element?.focus({ preventScroll: true });
  return element !== null && document.activeElement === element;
}

export const ordering = new Ordering();
