// Resources as the API shows them (docs/API.md; the OpenAPI document is the full reference).

export type Role = 'admin' | 'supervisor' | 'integrator';
export type AgentStatus =
  | 'ready' | 'pause' | 'wrap-up' | 'busy' | 'no-answer' | 'logged-off' | 'connecting' | 'connected' | 'unknown';

export interface User {
  id: string;
  name: string;
  role: Role;
  groups: string[] | null;
  softphone: string | null;
  registered: boolean;
}

export interface Session {
  user: User;
  csrf: string;
  expires_at: string;
}

export interface Agent {
  id: string;
  name: string;
  number: string;
  group: string | null;
  skills: string[];
  status: AgentStatus;
  status_since: string;
  registered: boolean;
  monitorable: boolean;
  calls: string[];
}

export interface AgentRef { id: string; name: string }

export interface ListenerRef {
  user?: string;
  agent?: string;
  number?: string;
  name: string;
  kind: 'softphone' | 'agent' | 'number' | 'page';
}

export type Layout = 'mono' | 'stereo' | 'agent' | 'caller';
export type Direction = 'inbound' | 'outbound' | 'internal';
export interface Warning { code: string; message: string }

export type RequestState =
  | 'waiting' | 'calling' | 'listening' | 'suspended' | 'fulfilled' | 'expired' | 'deleted';

export interface MonitoringRequest {
  id: string;
  ordered_by: string;
  agent: AgentRef;
  listener: ListenerRef;
  calls: { limit: number | null; used: number };
  until: string;
  directions: Direction[];
  layout: Layout;
  confirm: boolean;
  state: RequestState;
  created_at: string;
  ended_at: string | null;
  warnings: Warning[];
}

export interface OrderBody {
  agent: string;
  listener: { user: string } | { agent: string } | { number: string } | { page: true };
  calls?: number;
  until?: string;
  directions?: Direction[];
  layout?: Layout;
  confirm?: boolean;
}

export type ListeningState = 'waiting' | 'ringing' | 'confirming' | 'live' | 'ended';
export type Focus = 'talk' | 'hold' | 'consult' | 'conference' | 'lingering';
export type EndReason =
  | 'call-ended' | 'agent-transferred' | 'listener-hung-up' | 'listener-busy' | 'listener-no-answer'
  | 'listener-declined' | 'listener-unreachable' | 'listener-diverted' | 'listener-not-confirmed' | 'listener-in-call'
  | 'listener-lost' | 'limit-reached' | 'codec-unsupported' | 'deleted' | 'agent-not-monitorable' | 'policy-denied'
  | 'audit-unavailable' | 'engine-restarted' | 'engine-stopped';

export interface Quality {
  first_audio_ms: number | null;
  gaps: number;
  lost: number;
  concealed_ms: number;
  jitter_ms: number;
  remote_lost: number | null;
  remote_jitter_ms: number | null;
  round_trip_ms: number | null;
}

export interface Listening {
  id: string;
  request: string;
  agent: AgentRef;
  listener: ListenerRef;
  ordered_by: string;
  call: string;
  caller_number: string | null;
  access_number: string | null;
  queue: string | null;
  state: ListeningState;
  ringing_at: string | null;
  answered_at: string | null;
  ended_at: string | null;
  heard_ms: number;
  counted: boolean;
  end_reason: EndReason | null;
  focus: Focus;
  shielded: boolean;
  layout: Layout;
  gains: { agent_db: number; caller_db: number };
  level_matching: boolean;
  quality: Quality | null;
}

export interface Call {
  id: string;
  interaction: string;
  agent: string | null;
  direction: Direction;
  caller_number: string | null;
  called_number: string | null;
  access_number: string | null;
  queue: string | null;
  state: 'ringing' | 'up' | 'ended';
  held: boolean;
  shielded: boolean;
  started_at: string;
  answered_at: string | null;
  ended_at: string | null;
  listenings: string[];
}

export interface AuditEntry {
  seq: number;
  at: string;
  actor: string;
  action: string;
  target: string | null;
  agent: string | null;
  details: Record<string, unknown>;
  prev: string;
  hash: string;
}

export interface Token {
  id: string;
  user: string;
  name: string;
  created_at: string | null;
  expires_at: string | null;
  last_used_at: string | null;
  /** Named in the configuration: cannot be revoked over the API. */
  configured: boolean;
}

export interface SideLevel { db: number; speaking: boolean }
export interface Levels { agent: SideLevel; caller: SideLevel }

export interface Page<T> { items: T[]; next_cursor: string | null }

/** RFC 9457. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  field?: string;
  related?: string;
  request_id: string;
}
