// The player as a reducer: what happened goes in, the next state and what to do about it come out. It knows no clock, no network
// and no sound; `state/player.svelte.ts` carries out what it decides.

/** Why there is something to answer: a call, or a listening that already plays and that this tab may take over. */
export type Why = 'call' | 'reload' | 'elsewhere';
/** Why answering did not work. */
export type Trouble = 'no-media' | 'not-ringing' | 'refused' | 'unreachable';
/** Who ended it: the engine (its reason is in the listening), the person here, or a network that did not come back. */
export type EndedBy = 'engine' | 'stop' | 'skip' | 'lost';

export type State =
  | { phase: 'idle'; left: string | null }
  | { phase: 'ringing'; id: string; why: Why; trouble: Trouble | null }
  | { phase: 'connecting'; id: string; why: Why }
  | { phase: 'live'; id: string }
  /** `reached`: the engine answered a try, so this tab is still the one that plays. */
  | { phase: 'reconnecting'; id: string; since: number; tries: number; reached: boolean }
  | { phase: 'ended'; id: string; by: EndedBy };
export type Phase = State['phase'];

export type Input =
  /** A listening of this page, as the engine tells it; `here`: this tab played it before it was loaded again. */
  | { type: 'seen'; id: string; state: 'waiting' | 'ringing' | 'confirming' | 'live' | 'ended'; here: boolean }
  | { type: 'start'; id: string }
  | { type: 'connected' }
  /** The connection does not carry sound any more (`at` in milliseconds). */
  | { type: 'dropped'; at: number }
  /** The one timer, set by `wait`. */
  | { type: 'timeout'; at: number }
  /** The browser has a network again. */
  | { type: 'online' }
  | { type: 'refused'; trouble: Trouble }
  /** The engine answered an offer or a restart; the sound is still to come. */
  | { type: 'answered' }
  /** Another tab or browser plays it now. */
  | { type: 'taken' }
  | { type: 'stop' } | { type: 'skip' } | { type: 'dismiss' }
  /** Signed out: nothing of the last person stays. */
  | { type: 'reset' };

export type Act =
  | { do: 'offer'; id: string }
  | { do: 'restart'; id: string }
  | { do: 'close' }
  | { do: 'hang-up'; id: string }
  | { do: 'look'; id: string }
  | { do: 'wait'; ms: number };

/** A player that was answered has so long to connect (SEMANTICS: the engine gives it 10 s). */
export const CONNECT_MS = 10_000;
/** One try to come back with the connection that there is, and one with a new one, which has more to agree on. */
export const TRY_MS = 4_000;
export const OFFER_MS = 8_000;
/** The engine hangs up 30 s after the last check it could answer (RFC 7675); then there is nothing to come back to. */
export const GIVE_UP_MS = 40_000;

export const IDLE: State = { phase: 'idle', left: null };

/** Whether a listening is being heard, or was a moment ago. */
export const plays = (state: State): boolean =>
  state.phase === 'connecting' || state.phase === 'live' || state.phase === 'reconnecting';

export const idOf = (state: State): string | null => (state.phase === 'idle' ? null : state.id);

export function step(state: State, input: Input): [State, Act[]] {
  switch (input.type) {
    case 'seen': return seen(state, input);
    case 'start': return start(state, input.id);
    case 'connected':
      return state.phase === 'connecting' || state.phase === 'reconnecting' ? [{ phase: 'live', id: state.id }, []] : [state, []];
    case 'dropped': return dropped(state, input.at);
    case 'timeout': return timeout(state, input.at);
    case 'online':
      return state.phase === 'reconnecting' ? [state, again(state.id, state.tries)] : [state, []];
    case 'answered':
      return state.phase === 'reconnecting' ? [{ ...state, reached: true }, []] : [state, []];
    case 'refused': return refused(state, input.trouble);
    case 'taken':
      return plays(state) ? [{ phase: 'ringing', id: idOf(state) ?? '', why: 'elsewhere', trouble: null }, [{ do: 'close' }]] : [state, []];
    case 'stop': return leave(state, 'stop');
    case 'skip': return leave(state, 'skip');
    case 'dismiss': return state.phase === 'ended' ? [{ phase: 'idle', left: state.id }, []] : [state, []];
    case 'reset': return [IDLE, plays(state) ? [{ do: 'close' }] : []];
  }
}

function seen(state: State, input: Extract<Input, { type: 'seen' }>): [State, Act[]] {
  const { id } = input;
  if (input.state === 'ended') {
    if (state.phase === 'idle' || state.phase === 'ended' || state.id !== id) return [state, []];
    return [{ phase: 'ended', id, by: 'engine' }, plays(state) ? [{ do: 'close' }] : []];
  }
  if (state.phase === 'ringing' && state.id === id) {
    // answered by another tab of the same person
    const moved = state.why === 'call' && input.state === 'live';
    return [moved ? { ...state, why: 'elsewhere' } : state, []];
  }
  const free = state.phase === 'idle' ? state.left !== id : state.phase === 'ended' && state.id !== id;
  if (!free) return [state, []];
  if (input.state === 'ringing') return [{ phase: 'ringing', id, why: 'call', trouble: null }, []];
  if (input.state === 'live') return [{ phase: 'ringing', id, why: input.here ? 'reload' : 'elsewhere', trouble: null }, []];
  return [state, []];
}

function start(state: State, id: string): [State, Act[]] {
  if (plays(state)) return [state, []];
  const why = state.phase === 'ringing' && state.id === id ? state.why : 'call';
  return [{ phase: 'connecting', id, why }, [{ do: 'offer', id }, { do: 'wait', ms: CONNECT_MS }]];
}

function dropped(state: State, at: number): [State, Act[]] {
  if (state.phase === 'connecting') return [{ ...state, phase: 'ringing', trouble: 'no-media' }, [{ do: 'close' }, { do: 'look', id: state.id }]];
  if (state.phase !== 'live') return [state, []];
  return [{ phase: 'reconnecting', id: state.id, since: at, tries: 0, reached: false }, again(state.id, 0)];
}

function timeout(state: State, at: number): [State, Act[]] {
  if (state.phase === 'connecting') return [{ ...state, phase: 'ringing', trouble: 'no-media' }, [{ do: 'close' }, { do: 'look', id: state.id }]];
  if (state.phase !== 'reconnecting') return [state, []];
  if (at - state.since >= GIVE_UP_MS) return [{ phase: 'ended', id: state.id, by: 'lost' }, [{ do: 'close' }, { do: 'look', id: state.id }]];
  // until the engine has answered, another tab may have taken the place of this one: asking does not take it back
  const tries = state.reached ? state.tries + 1 : 0;
  return [{ ...state, tries }, again(state.id, tries)];
}

/** First new credentials for the connection that there is, then a new one that takes its place. */
const again = (id: string, tries: number): Act[] =>
  tries === 0 ? [{ do: 'restart', id }, { do: 'wait', ms: TRY_MS }] : [{ do: 'offer', id }, { do: 'wait', ms: OFFER_MS }];

function refused(state: State, trouble: Trouble): [State, Act[]] {
  if (state.phase === 'connecting') return [{ ...state, phase: 'ringing', trouble }, [{ do: 'close' }, { do: 'look', id: state.id }]];
  // while it comes back, the next try is the timer's
  return [state, state.phase === 'reconnecting' && trouble !== 'unreachable' ? [{ do: 'look', id: state.id }] : []];
}

function leave(state: State, by: 'stop' | 'skip'): [State, Act[]] {
  if (state.phase === 'idle' || state.phase === 'ended') return [state, []];
  const acts: Act[] = [{ do: 'hang-up', id: state.id }];
  if (plays(state)) acts.push({ do: 'close' });
  return [{ phase: 'ended', id: state.id, by }, acts];
}
