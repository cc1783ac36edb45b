// Users and agents by name, for filters and lists.
import { all } from '../api/client';
import type { User } from '../api/types';
import { live } from '../state/live.svelte';
import { session } from '../state/session.svelte';

let users: Promise<User[]> | null = null;

/** Everybody, for admins; oneself for others, and where it cannot be read. */
export function people(): Promise<User[]> {
  const self = session.user ? [session.user] : [];
  if (session.user?.role !== 'admin') return Promise.resolve(self);
  users ??= all<User>('/v1/users').catch(() => {
    users = null;
    return self;
  });
  return users;
}

export const agents = (): { id: string; name: string }[] =>
  [...live.agents.values()].map(({ id, name }) => ({ id, name })).sort((a, b) => a.name.localeCompare(b.name));

export const initials = (name: string): string =>
  name.split(/\s+/).filter(Boolean).map((part) => part[0]).filter((_, at, parts) => at === 0 || at === parts.length - 1).join('').toUpperCase();
