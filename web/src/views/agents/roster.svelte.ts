// The rows that are shown: made again once a second at most, and never under the pointer or the focus, for who aims at one agent
// must not hear another one's call.
import { untrack } from 'svelte';
import { json } from '../../api/client';
import type { Agent, Page } from '../../api/types';
import { locale } from '../../i18n/index.svelte';
import { clock } from '../../state/clock.svelte';
import { orderForm } from '../../state/later';
import { live } from '../../state/live.svelte';
import { arrange, groupsOf, type Filter, type Sort, type SortKey } from './list';

export const PAGE = 50;
const HOLD_MS = 3000;
const SEARCH_MS = 300;

class Roster {
  filter = $state<Filter>({ text: '', group: '', inCall: false });
  sort = $state<Sort>({ key: 'status', down: false });
  page = $state(0);
  ids = $state.raw<string[]>([]);
  groups = $state.raw<string[]>([]);
  total = $state(0);
  #heldUntil = 0;
  #changes = -1;
  #collator = $derived(new Intl.Collator(locale.language, { numeric: true }));

  pages = $derived(Math.max(1, Math.ceil(this.ids.length / PAGE)));
  rows = $derived(this.ids.slice(this.page * PAGE, (this.page + 1) * PAGE));

  hold(): void {
    this.#heldUntil = performance.now() + HOLD_MS;
    // Who points at an agent is about to order.
    orderForm().catch(() => {});
  }

  by(key: SortKey): void {
    this.sort = { key, down: this.sort.key === key && !this.sort.down };
  }

  clear(): void {
    this.filter = { text: '', group: '', inCall: false };
  }

  /** To be called where the list is shown. */
  follow(): void {
    $effect(() => {
      // Another question: answered at once, from its first page.
      JSON.stringify([this.filter, this.sort, locale.language, live.state]);
      untrack(() => {
        this.page = 0;
        this.#arrange();
      });
    });
    $effect(() => {
      if (clock.now && live.changes !== this.#changes && performance.now() > this.#heldUntil) untrack(() => this.#arrange());
    });
    $effect(() => {
      const query = { search: this.filter.text, group: this.filter.group, connected: this.filter.inCall || null, limit: 200 };
      if (!live.moreAgents || !query.search) return;
      const abort = new AbortController();
      const timer = setTimeout(() => void this.#ask(query, abort.signal), SEARCH_MS);
      return () => {
        clearTimeout(timer);
        abort.abort();
      };
    });
  }

  /** More agents than a browser should hold: what is found joins the list, and stays live. */
  async #ask(query: Record<string, string | number | boolean | null>, signal: AbortSignal): Promise<void> {
    const page = await json<Page<Agent>>('GET', '/v1/agents', { query, signal }).catch(() => null);
    for (const agent of page?.items ?? []) live.put({ agent });
    if (page) this.#arrange();
  }

  #arrange(): void {
    this.#changes = live.changes;
    const agents = [...live.agents.values()];
    this.total = agents.length;
    this.ids = arrange(agents, this.filter, this.sort, this.#collator);
    const groups = groupsOf(agents, this.#collator);
    if (groups.join('\n') !== this.groups.join('\n')) this.groups = groups;
    this.page = Math.min(this.page, Math.max(0, Math.ceil(this.ids.length / PAGE) - 1));
  }
}

export const roster = new Roster();
