// Who sits here. The cookie is HttpOnly: what this page knows of it is the user and the CSRF token.
import { ApiError, json, send, signedIn } from '../api/client';
import type { Session, User } from '../api/types';
import { hear, tell } from './tabs';

/** Somebody has signed in here, and not out: the cookie itself is hidden from the page. */
const KNOWN = 'medlytt.signed-in';

class SessionState {
  user = $state.raw<User | null>(null);
  /** `expired`: the page stays as it is, behind a sign-in dialog, so that nothing typed is lost. */
  state = $state<'unknown' | 'out' | 'in' | 'expired'>('unknown');
  /** Why it is still `unknown`: the engine cannot be reached, or fails. */
  problem = $state.raw<ApiError | null>(null);

  constructor() {
    hear('signed-in', () => void this.resume());
    hear('signed-out', () => this.#out());
  }

  /** At the start: a token in the address (`/#TOKEN`), or the session that the browser holds; where none can be, none is asked for. */
  async resume(): Promise<void> {
    const token = takeToken();
    try {
      if (token) return await this.signInByToken(token);
      if (!localStorage.getItem(KNOWN)) return this.#lost();
      this.#in(await json<Session>('GET', '/v1/session'));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) this.#lost();
      else this.problem = error;
    }
  }

  async signIn(user: string, password: string): Promise<void> {
    await this.#start({ user, password });
  }

  async signInByToken(token: string): Promise<void> {
    await this.#start({ token });
  }

  async signOut(everywhere = false): Promise<void> {
    await send('DELETE', everywhere ? '/v1/sessions' : '/v1/session');
    tell('signed-out');
    this.#out();
  }

  async #start(body: unknown): Promise<void> {
    this.#in(await json<Session>('POST', '/v1/session', { body }));
    tell('signed-in');
  }

  #in(session: Session): void {
    // Another user than before: nothing of the first one's may stay on the page.
    if (this.user && this.user.id !== session.user.id) location.reload();
    localStorage.setItem(KNOWN, 'yes');
    this.user = session.user;
    this.problem = null;
    this.state = 'in';
    signedIn(session.csrf, () => this.#lost());
  }

  #lost(): void {
    this.problem = null;
    this.state = this.user ? 'expired' : 'out';
    if (!this.user) localStorage.removeItem(KNOWN);
  }

  #out(): void {
    signedIn('', () => {});
    localStorage.removeItem(KNOWN);
    this.user = null;
    this.state = 'out';
  }
}

/** A fragment that is no route is a token; it leaves the address (and the history) before it is used. */
function takeToken(): string | null {
  const fragment = decodeURIComponent(location.hash.slice(1));
  if (fragment.length < 8 || fragment.startsWith('/')) return null;
  history.replaceState(null, '', location.pathname + location.search);
  return fragment;
}

export const session = new SessionState();
