// The directory as a form, as a CSV file, and as what the engine takes; what changed between two looks at an agent.
import type { Agent } from '../api/types';
import { bare, parseCsv, type Cell } from './csv';
import type { AdminKey } from './words';

/** What a form or a line of a file says of an agent; `undefined` stays as it is. */
export interface AgentFields {
  name?: string;
  number?: string;
  group?: string | null;
  skills?: string[];
  monitorable?: boolean;
  contact?: string | null;
  srtp?: 'off' | 'offer' | 'require';
}

export const COLUMNS = ['id', 'name', 'number', 'group', 'skills', 'monitorable', 'contact', 'srtp'] as const;
type Column = (typeof COLUMNS)[number];
/** Agents of one file at most. */
export const IMPORT_MAX = 20_000;
export const ID = /^[A-Za-z0-9._~+*-]{1,128}$/;
const NUMBER = /^\+?[0-9A-Za-z._*#-]{1,127}$/;

/** How agents are exported; contact and srtp are not shown by the API and so cannot be. */
export const exported: [string, (agent: Agent) => Cell][] = [
  ['id', (agent) => agent.id],
  ['name', (agent) => agent.name],
  ['number', (agent) => ({ phone: agent.number })],
  ['group', (agent) => agent.group],
  ['skills', (agent) => agent.skills.join('; ')],
  ['monitorable', (agent) => agent.monitorable],
];

export interface Line {
  line: number;
  id: string;
  fields: AgentFields;
  verdict: 'new' | 'changed' | 'same' | 'wrong';
  /** The fields that change. */
  changes: (keyof AgentFields)[];
  why: { key: AdminKey; values: Record<string, string | number> } | null;
  /** What the engine said against it. */
  refused?: string;
}

export type Read = { lines: Line[] } | { why: AdminKey; values: Record<string, string | number> };

/** Reads a file against the directory as it is. An empty cell leaves a field as it is; a column that is not there, too. */
export function read(source: string, present: ReadonlyMap<string, Agent>): Read {
  const [header, ...rows] = parseCsv(source);
  if (!header) return { why: 'imp_empty', values: {} };
  const columns = header.fields.map((name) => name.trim().toLowerCase());
  const stranger = columns.find((name) => name && !COLUMNS.includes(name as Column));
  if (!columns.includes('id')) return { why: 'imp_no_id', values: {} };
  if (stranger) return { why: 'imp_column', values: { c: stranger } };
  if (new Set(columns).size < columns.length) return { why: 'imp_twice', values: {} };
  if (rows.length > IMPORT_MAX) return { why: 'imp_many', values: { n: IMPORT_MAX } };
  const seen = new Map<string, number>();
  return { lines: rows.map(({ line, fields }) => one(line, columns as Column[], fields, present, seen)) };
}

function one(line: number, columns: Column[], cells: string[], present: ReadonlyMap<string, Agent>, seen: Map<string, number>): Line {
  const cell = (column: Column) => bare((cells[columns.indexOf(column)] ?? '').trim());
  const id = columns.includes('id') ? cell('id') : '';
  const before = present.get(id);
  const [fields, bad] = values((column) => (columns.includes(column) ? cell(column) : ''));
  const twice = seen.get(id);
  seen.set(id, line);
  const why = !ID.test(id) ? wrong('imp_id') : twice !== undefined ? wrong('imp_same_id', { n: twice }) : bad
    ?? (cells.length > columns.length && cells.slice(columns.length).some((extra) => extra.trim()) ? wrong('imp_cells') : null)
    ?? (!before && !(fields.name && fields.number) ? wrong('imp_new_needs') : null);
  const changes = (Object.keys(fields) as (keyof AgentFields)[]).filter((name) => !before || differs(name, fields, before));
  return { line, id, fields, changes, why, verdict: why ? 'wrong' : !before ? 'new' : changes.length ? 'changed' : 'same' };
}

function values(cell: (column: Column) => string): [AgentFields, Line['why']] {
  const [name, number, group, skills, monitorable, contact, srtp] = COLUMNS.slice(1).map((column) => cell(column));
  const fields: AgentFields = {};
  if (name) fields.name = name;
  if (number) fields.number = number.replace(/[\s()]/g, '');
  if (group) fields.group = group;
  if (skills) fields.skills = list(skills);
  if (contact) fields.contact = contact;
  const may = truth(monitorable ?? '');
  if (may !== undefined && may !== null) fields.monitorable = may;
  if (srtp === 'off' || srtp === 'offer' || srtp === 'require') fields.srtp = srtp;
  const why = fields.number && !NUMBER.test(fields.number) ? wrong('imp_number') : may === null ? wrong('imp_truth', { c: monitorable ?? '' })
    : srtp && !fields.srtp ? wrong('imp_srtp', { c: srtp }) : null;
  return [fields, why];
}

const wrong = (key: AdminKey, values: Record<string, string | number> = {}): NonNullable<Line['why']> => ({ key, values });

/** Skills, however they were parted. */
export const list = (text: string): string[] => [...new Set(text.split(/[;,|\n]/).map((skill) => skill.trim()).filter(Boolean))];

/** As spreadsheets of four languages write it; undefined if empty, null if it is neither. */
function truth(text: string): boolean | null | undefined {
  const word = text.toLowerCase();
  if (!word) return undefined;
  if (['true', 'yes', '1', 'ja', 'sann', 'sand', 'sandt', 'sant', 'y', 'x'].includes(word)) return true;
  return ['false', 'no', '0', 'nei', 'nej', 'usann', 'falsk', 'falskt', 'n', 'usand'].includes(word) ? false : null;
}

function differs(name: keyof AgentFields, fields: AgentFields, before: Agent): boolean {
  if (name === 'skills') return JSON.stringify([...(fields.skills ?? [])].sort()) !== JSON.stringify([...before.skills].sort());
  // The API does not show them: sent, they may change.
  if (name === 'contact' || name === 'srtp') return true;
  return fields[name] !== before[name];
}

export interface Difference { field: 'name' | 'number' | 'group' | 'skills' | 'monitorable'; was: string; is: string }

/** What somebody else changed meanwhile; live status is no change of the directory. */
export function differences(was: Agent, is: Agent, yes: string, no: string): Difference[] {
  const shown = (agent: Agent): [Difference['field'], string][] => [
    ['name', agent.name], ['number', agent.number], ['group', agent.group ?? '–'], ['skills', agent.skills.join(', ') || '–'],
    ['monitorable', agent.monitorable ? yes : no],
  ];
  const now = new Map(shown(is));
  return shown(was).filter(([field, value]) => now.get(field) !== value).map(([field, value]) => ({ field, was: value, is: now.get(field) ?? '' }));
}

/** The body for the engine: only what differs from the agent as the form began with it. */
export function body(fields: AgentFields, before: Agent | null): AgentFields {
  const names = (Object.keys(fields) as (keyof AgentFields)[]).filter((name) => fields[name] !== undefined && (!before || differs(name, fields, before)));
  return Object.fromEntries(names.map((name) => [name, fields[name]])) as AgentFields;
}

/** Agents of one request at most, and their bytes: the engine takes 1000 and 2 MiB, but should not be held up for long. */
export const AT_ONCE = 500;
export const BYTES_AT_ONCE = 1024 * 1024;

export type Entry = { id: string } & AgentFields;

/** Lines of an import as the bodies that carry them. */
export function batches(lines: Line[]): Entry[][] {
  const all: Entry[][] = [];
  let room = 0;
  for (const { id, fields } of lines) {
    const entry = { id, ...fields };
    const bytes = new TextEncoder().encode(JSON.stringify(entry)).length + 1;
    const last = all.at(-1);
    if (last && last.length < AT_ONCE && bytes <= room) last.push(entry);
    else [room] = [BYTES_AT_ONCE, all.push([entry])];
    room -= bytes;
  }
  return all;
}

/** What the engine says of each of a batch, in its order. */
export interface Result { id: string; status: number; problem?: { code: string; detail: string } | null }

/** Lines with the engine's judgement beside our own: what it refuses is not sent. */
export function judged(lines: Line[], results: Result[]): Line[] {
  const refused = new Map(results.flatMap(({ id, problem }) => (problem ? [[id, problem.detail || problem.code] as const] : [])));
  return lines.map((line) => {
    const why = line.verdict === 'wrong' ? undefined : refused.get(line.id);
    return why === undefined ? line : { ...line, verdict: 'wrong', refused: why };
  });
}
