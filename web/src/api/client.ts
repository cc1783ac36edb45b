// The one way to the engine: the session cookie authenticates, a CSRF token stands in every request that changes something.
import type { Page, Problem } from './types';

/** A refusal of the engine, or no answer at all (`status` 0, `code` `unreachable`). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field: string | null,
    readonly requestId: string | null,
    readonly related: string | null = null,
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

let csrf = '';
let onSignedOut: () => void = () => {};

/** Set after sign-in; `signedOut` is called once the engine no longer knows the session. */
export function signedIn(token: string, signedOut: () => void): void {
  csrf = token;
  onSignedOut = signedOut;
}

export interface Options {
  query?: Record<string, string | number | boolean | null | undefined>;
  body?: unknown;
  /** Sent as it is, with this type (SDP). */
  raw?: { type: string; text: string };
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Goes on although the page is left. */
  keepalive?: boolean;
}

/** A request; its response if it is 2xx, else [`ApiError`] is thrown. */
export async function send(method: string, path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  let body: string | undefined;
  if (options.raw) [headers['Content-Type'], body] = [options.raw.type, options.raw.text];
  else if (options.body !== undefined) [headers['Content-Type'], body] = ['application/json', JSON.stringify(options.body)];
  if (method !== 'GET' && csrf) headers['X-CSRF-Token'] = csrf;
  let response: Response;
  try {
    response = await fetch(address(path, options.query), {
      method, headers, body, cache: 'no-store', credentials: 'same-origin', signal: options.signal ?? null, keepalive: options.keepalive ?? false,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, 'unreachable', '', null, null);
  }
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  if (response.status === 401 && csrf) {
    csrf = '';
    onSignedOut();
  }
  const after = Number(response.headers.get('Retry-After'));
  throw new ApiError(
    response.status, problem.code ?? 'unknown', problem.detail ?? response.statusText, problem.field ?? null,
    problem.request_id ?? response.headers.get('x-request-id'), problem.related ?? null, after > 0 ? after : null,
  );
}

export async function json<T>(method: string, path: string, options: Options = {}): Promise<T> {
  return (await (await send(method, path, options)).json()) as T;
}

/** Every item of a list, page by page, `most` at most. */
export async function all<T>(path: string, query: Options['query'] = {}, most = 10_000): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<T> = await json('GET', path, { query: { limit: 200, ...query, cursor } });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  return items;
}

/** For `Idempotency-Key`. */
export const newKey = (): string => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4))).join('-');

function address(path: string, query: Options['query'] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}
