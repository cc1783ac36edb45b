// The views of the page, and which role has them.
import type { Component } from 'svelte';
import type { Role } from '../api/types';
import type { Key } from '../i18n/index.svelte';
import { late } from './later';
import type { RouteName } from './route.svelte';

interface View {
  title: Key;
  roles: Role[];
  /** Loaded when one goes there: the first load is the supervisor's page. */
  load: (() => Promise<{ default: Component }>) | null;
}

export const VIEWS: Record<RouteName, View> = {
  '': { title: 'title', roles: ['admin', 'supervisor', 'integrator'], load: null },
  requests: { title: 'navRequests', roles: ['admin'], load: late(() => import('../views/AllRequests.svelte')) },
  archive: { title: 'navArchive', roles: ['admin', 'supervisor'], load: late(() => import('../views/Archive.svelte')) },
  audit: { title: 'navAudit', roles: ['admin'], load: late(() => import('../views/Audit.svelte')) },
  agents: { title: 'navAgents', roles: ['admin', 'integrator'], load: late(() => import('../views/Directory.svelte')) },
  access: { title: 'navAccess', roles: ['admin', 'supervisor', 'integrator'], load: late(() => import('../views/Access.svelte')) },
};

export const viewsOf = (role: Role): RouteName[] =>
  (Object.keys(VIEWS) as RouteName[]).filter((name) => VIEWS[name].roles.includes(role));
