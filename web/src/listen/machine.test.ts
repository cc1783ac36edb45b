import { describe, expect, it } from 'vitest';
import { GIVE_UP_MS, IDLE, OFFER_MS, TRY_MS, step, type Act, type Input, type State } from './machine';

const seen = (id: string, state: 'waiting' | 'ringing' | 'live' | 'ended', here = false): Input => ({ type: 'seen', id, state, here });

/** Through all inputs; the last acts. */
function life(inputs: Input[], from: State = IDLE): { state: State; acts: Act[] } {
  let [state, acts]: [State, Act[]] = [from, []];
  for (const input of inputs) [state, acts] = step(state, input);
  return { state, acts };
}
const live: Input[] = [seen('a', 'ringing'), { type: 'start', id: 'a' }, { type: 'connected' }];

describe('a call that was ordered earlier', () => {
  it('rings, is answered with one click, and is live when sound comes', () => {
    expect(life([seen('a', 'waiting')]).state.phase).toBe('idle');
    expect(life([seen('a', 'ringing')]).state).toEqual({ phase: 'ringing', id: 'a', why: 'call', trouble: null });
    const answered = life(live.slice(0, 2));
    expect(answered.state.phase).toBe('connecting');
    expect(answered.acts).toContainEqual({ do: 'offer', id: 'a' });
    expect(life(live).state).toEqual({ phase: 'live', id: 'a' });
  });

  it('is skipped: hung up, and does not ring again', () => {
    const skipped = life([seen('a', 'ringing'), { type: 'skip' }]);
    expect(skipped.state).toEqual({ phase: 'ended', id: 'a', by: 'skip' });
    expect(skipped.acts).toEqual([{ do: 'hang-up', id: 'a' }]);
    expect(life([seen('a', 'ringing'), { type: 'skip' }, seen('a', 'ringing'), { type: 'dismiss' }, seen('a', 'ringing')]).state).toEqual({ phase: 'idle', left: 'a' });
  });

  it('stops ringing when the call ends', () => {
    expect(life([seen('a', 'ringing'), seen('a', 'ended')])).toEqual({ state: { phase: 'ended', id: 'a', by: 'engine' }, acts: [] });
  });

  it('gives way to the next call after its end', () => {
    expect(life([...live, seen('a', 'ended'), seen('b', 'ringing')]).state).toMatchObject({ phase: 'ringing', id: 'b' });
  });

  it('does not let another call ring over what is heard', () => {
    expect(life([...live, seen('b', 'ringing')]).state).toEqual({ phase: 'live', id: 'a' });
  });
});

describe('what was heard already', () => {
  it('offers to go on after a reload', () => {
    expect(life([seen('a', 'live', true)]).state).toMatchObject({ phase: 'ringing', why: 'reload' });
  });
  it('says that another tab plays it', () => {
    expect(life([seen('a', 'live')]).state).toMatchObject({ phase: 'ringing', why: 'elsewhere' });
    expect(life([seen('a', 'ringing'), seen('a', 'live')]).state).toMatchObject({ phase: 'ringing', why: 'elsewhere' });
  });
  it('falls silent when another tab takes it, and hangs nothing up', () => {
    const taken = life([...live, { type: 'taken' }]);
    expect(taken.state).toMatchObject({ phase: 'ringing', why: 'elsewhere' });
    expect(taken.acts).toEqual([{ do: 'close' }]);
  });
});

describe('a network that changes', () => {
  const lost: Input[] = [...live, { type: 'dropped', at: 0 }];
  it('restarts ICE, then makes a new offer', () => {
    expect(life(lost).acts).toEqual([{ do: 'restart', id: 'a' }, { do: 'wait', ms: TRY_MS }]);
    expect(life([...lost, { type: 'answered' }, { type: 'timeout', at: TRY_MS }]).acts).toEqual([{ do: 'offer', id: 'a' }, { do: 'wait', ms: OFFER_MS }]);
    expect(life([...lost, { type: 'connected' }]).state.phase).toBe('live');
  });
  it('tries at once when the browser is online again', () => {
    expect(life([...lost, { type: 'online' }]).acts[0]).toEqual({ do: 'restart', id: 'a' });
    expect(life([...lost, { type: 'answered' }, { type: 'timeout', at: 4000 }, { type: 'online' }]).acts[0]).toEqual({ do: 'offer', id: 'a' });
  });
  it('does not take the place of another tab before the engine has said that it is still its own', () => {
    expect(life([...lost, { type: 'refused', trouble: 'unreachable' }, { type: 'timeout', at: TRY_MS }]).acts[0]).toEqual({ do: 'restart', id: 'a' });
  });
  it('gives up and says so', () => {
    const gone = life([...lost, { type: 'timeout', at: GIVE_UP_MS }]);
    expect(gone.state).toEqual({ phase: 'ended', id: 'a', by: 'lost' });
    expect(gone.acts).toContainEqual({ do: 'close' });
  });
  it('looks what became of it when a try is refused', () => {
    expect(life([...lost, { type: 'refused', trouble: 'refused' }]).acts).toEqual([{ do: 'look', id: 'a' }]);
    expect(life([...lost, { type: 'refused', trouble: 'unreachable' }]).acts).toEqual([]);
  });
  it('takes the engine’s word that it ended', () => {
    expect(life([...lost, seen('a', 'ended')]).state).toEqual({ phase: 'ended', id: 'a', by: 'engine' });
  });
});

describe('an answer that does not work', () => {
  it('rings on and says why', () => {
    const refused = life([...live.slice(0, 2), { type: 'refused', trouble: 'not-ringing' }]);
    expect(refused.state).toMatchObject({ phase: 'ringing', trouble: 'not-ringing' });
    expect(life([...live.slice(0, 2), { type: 'timeout', at: 10_000 }]).state).toMatchObject({ phase: 'ringing', trouble: 'no-media' });
  });
});

it('stops at a click, in whatever phase', () => {
  expect(life([...live, { type: 'stop' }]).acts).toEqual([{ do: 'hang-up', id: 'a' }, { do: 'close' }]);
  expect(life([...live, { type: 'stop' }, seen('a', 'live')]).state).toEqual({ phase: 'ended', id: 'a', by: 'stop' });
  expect(life([...live, { type: 'reset' }])).toEqual({ state: IDLE, acts: [{ do: 'close' }] });
  expect(life([{ type: 'stop' }])).toEqual({ state: IDLE, acts: [] });
});
