// Which agents are shown, in which order. Pure; tested by list.test.ts.
import type { Agent, AgentStatus } from '../../api/types';

export interface Filter { text: string; group: string; inCall: boolean }
export type SortKey = 'name' | 'status' | 'duration';
export interface Sort { key: SortKey; down: boolean }

const RANK: Record<AgentStatus, number> = {
  connected: 0, connecting: 1, 'wrap-up': 2, busy: 3, ready: 4, 'no-answer': 5, unknown: 6, pause: 7, 'logged-off': 8,
};

export const inCall = (agent: Agent): boolean => agent.status === 'connected';

function fits(agent: Agent, filter: Filter, words: string[]): boolean {
  if (filter.inCall && !inCall(agent)) return false;
  if (filter.group && agent.group !== filter.group) return false;
  if (!words.length) return true;
  const text = `${agent.name} ${agent.id} ${agent.number} ${agent.number.replace(/\s/g, '')} ${agent.skills.join(' ')}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Ids in order. By status those in a call come first, the longest of them at the top. */
export function arrange(agents: Iterable<Agent>, filter: Filter, sort: Sort, collator: Intl.Collator): string[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows: { id: string; name: string; rank: number; since: number }[] = [];
  for (const agent of agents) {
    if (fits(agent, filter, words)) rows.push({ id: agent.id, name: agent.name, rank: RANK[agent.status], since: Date.parse(agent.status_since) });
  }
  const turn = sort.down ? -1 : 1;
  const byName = (a: (typeof rows)[0], b: (typeof rows)[0]): number => collator.compare(a.name, b.name) || collator.compare(a.id, b.id);
  if (sort.key === 'name') rows.sort((a, b) => turn * byName(a, b));
  else if (sort.key === 'duration') rows.sort((a, b) => turn * (b.since - a.since) || byName(a, b));
  else rows.sort((a, b) => turn * (a.rank - b.rank || a.since - b.since) || byName(a, b));
  return rows.map((row) => row.id);
}

export function groupsOf(agents: Iterable<Agent>, collator: Intl.Collator): string[] {
  const groups = new Set<string>();
  for (const { group } of agents) if (group) groups.add(group);
  return [...groups].sort(collator.compare);
}
