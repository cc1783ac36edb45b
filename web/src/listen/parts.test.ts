import { describe, expect, it } from 'vitest';
import { HANG_MS, SILENCE, decibels, gainOfVolume, gainsOfBalance, next, scale } from './levels';
import { between, counters, grade } from './quality';
import { BUCKETS, BUCKET_MS, Ribbon, SPAN_MS } from './ribbon';
import { restartFragment, restarted } from './sdp';
import { balanceWords, endWords } from './words';
import { listening } from '../i18n/listening';
import type { EndReason } from '../api/types';

const REASONS: EndReason[] = ['call-ended', 'agent-transferred', 'listener-hung-up', 'listener-busy', 'listener-no-answer', 'listener-declined', 'listener-unreachable', 'listener-diverted', 'listener-not-confirmed', 'listener-in-call', 'listener-lost', 'limit-reached', 'codec-unsupported', 'deleted', 'agent-not-monitorable', 'policy-denied', 'audit-unavailable', 'engine-restarted', 'engine-stopped'];

describe('levels', () => {
  it('maps decibels to the length of a bar', () => {
    expect([-127, -60, -30, 0, 6].map(scale)).toEqual([0, 0, 0.5, 1, 1]);
  });
  it('measures a sine of full scale as -3 dB, and silence as the least', () => {
    const sine = Float32Array.from({ length: 4800 }, (_, n) => Math.sin((2 * Math.PI * 440 * n) / 48_000));
    expect(decibels(sine)).toBeCloseTo(-3.01, 1);
    expect(decibels(new Float32Array(16))).toBe(-127);
  });
  it('holds speech over the pauses between words, and peaks for a moment', () => {
    let side = next(SILENCE, -20, 1000);
    expect(side.speaking).toBe(true);
    side = next(side, -80, 1000 + HANG_MS - 100);
    expect(side.speaking).toBe(true);
    expect(side.peak).toBeCloseTo(scale(-20));
    side = next(side, -80, 1000 + HANG_MS + 100);
    expect(side.speaking).toBe(false);
    for (let at = 1700; at < 6000; at += 100) side = next(side, -80, at);
    expect(side.peak).toBe(0);
  });
  it('believes the engine about who speaks', () => {
    expect(next(SILENCE, -20, 0, false).speaking).toBe(false);
  });
  it('turns sliders into gains', () => {
    expect(gainOfVolume(0)).toBe(0);
    expect(gainOfVolume(100)).toBe(1);
    expect(gainsOfBalance(0)).toEqual({ agent: 1, caller: 1 });
    expect(gainsOfBalance(-10)).toEqual({ agent: 1, caller: 0 });
    expect(gainsOfBalance(5).agent).toBeCloseTo(0.25);
  });
});

describe('the ribbon', () => {
  const loud = { value: 0.8, speaking: true };
  const quiet = { value: 0, speaking: false };
  it('keeps the loudest of a bucket', () => {
    const ribbon = new Ribbon();
    ribbon.push(0, { value: 0.2, speaking: false }, quiet);
    ribbon.push(BUCKET_MS - 1, loud, quiet);
    ribbon.push(BUCKET_MS - 1, quiet, quiet);
    expect(ribbon.window(0).at(-1)).toEqual({ agent: 0.8, caller: 0, agentSpoke: true, callerSpoke: false });
  });
  it('leaves gaps where a tab slept, and forgets what is older than 30 s', () => {
    const ribbon = new Ribbon();
    ribbon.push(0, loud, quiet);
    ribbon.push(10 * BUCKET_MS, quiet, loud);
    const window = ribbon.window(10 * BUCKET_MS);
    expect(window).toHaveLength(BUCKETS);
    expect(window.filter((bucket) => bucket !== null)).toHaveLength(2);
    ribbon.push(SPAN_MS + 10 * BUCKET_MS, quiet, quiet);
    expect(ribbon.window(SPAN_MS + 10 * BUCKET_MS).filter((bucket) => bucket !== null)).toHaveLength(1);
  });
  it('says in figures who spoke', () => {
    const ribbon = new Ribbon();
    for (let n = 0; n < 10; n += 1) ribbon.push(n * BUCKET_MS, n < 6 ? loud : quiet, n >= 5 && n < 8 ? loud : quiet);
    expect(ribbon.summary(9 * BUCKET_MS)).toEqual({ agent: 50, caller: 20, both: 10, silence: 20, seconds: 3 });
    expect(new Ribbon().summary(0)).toEqual({ agent: 0, caller: 0, both: 0, silence: 0, seconds: 0 });
  });
});

describe('quality', () => {
  const report = (packets: number, lost: number, concealed = 0) => counters(0, [
    { type: 'inbound-rtp', kind: 'audio', packetsReceived: packets, packetsLost: lost, jitter: 0.004, totalSamplesReceived: packets * 960, concealedSamples: concealed, silentConcealedSamples: 0 },
    { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.012 },
  ]);
  it('grades what happened since the last look', () => {
    expect(grade(between(report(100, 9), report(350, 9)))).toBe('good');
    expect(grade(between(report(100, 0), report(340, 6)))).toBe('fair');
    expect(grade(between(report(100, 0), report(200, 20)))).toBe('poor');
    expect(between(report(1, 0), report(2, 0)).round_trip_ms).toBeCloseTo(12);
  });
  it('calls a stream that stands still poor, and survives a new connection', () => {
    expect(grade(between(report(100, 0), report(100, 0)))).toBe('poor');
    expect(between(report(1000, 50), report(100, 0))).toMatchObject({ lost: 0, stalled: false });
  });
});

describe('an ICE restart', () => {
  const answer = 'v=0\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:old1\r\na=ice-pwd:oldpassword\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\n';
  it('asks with the new credentials, and puts the answer’s into the description', () => {
    const fragment = restartFragment('v=0\r\nm=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\n');
    expect(fragment).toBe('a=ice-ufrag:abcd\r\na=ice-pwd:secret\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n');
    const after = restarted(answer, 'a=ice-ufrag:new1\r\na=ice-pwd:newpassword\r\n');
    expect(after).toContain('a=ice-ufrag:new1\r\na=ice-pwd:newpassword');
    expect(restarted(answer, 'a=candidate:1\r\n')).toBeNull();
  });
});

describe('why it ended, in words', () => {
  const at = (kind: 'page' | 'softphone', end_reason: EndReason | null) => ({ listener: { name: 'Mette', kind }, end_reason });
  it('has words for every reason, in every language', () => {
    for (const words of Object.values(listening)) for (const reason of REASONS) expect(words[`lis.e.${reason}`]).toBeTruthy();
  });
  it('says “you” to who listens in the browser, “the listener” of a phone', () => {
    expect(endWords(at('page', 'listener-no-answer'), null, 'waiting')).toBe('lis.e.page-no-answer');
    expect(endWords(at('softphone', 'listener-no-answer'), null, 'waiting')).toBe('lis.e.listener-no-answer');
    expect(endWords(at('page', 'agent-transferred'), 'engine', 'waiting')).toBe('lis.e.agent-transferred');
  });
  it('promises the next call only where the request goes on', () => {
    expect(endWords(at('page', 'listener-hung-up'), 'stop', 'waiting')).toBe('lis.e.stop');
    expect(endWords(at('page', 'listener-hung-up'), 'stop', 'fulfilled')).toBe('lis.e.page-hung-up');
    expect(endWords(at('softphone', 'deleted'), null, 'waiting')).toBe('lis.e.hung-up');
    expect(endWords(at('softphone', 'deleted'), null, 'deleted')).toBe('lis.e.deleted');
  });
  it('knows a network that did not come back', () => {
    expect(endWords(at('page', null), 'lost', 'listening')).toBe('lis.e.lost');
    expect(endWords(at('page', 'engine-restarted'), 'lost', 'waiting')).toBe('lis.e.engine-restarted');
    expect(endWords(at('page', null), 'engine', 'waiting')).toBe('lis.e.unknown');
  });
  it('names the balance', () => {
    expect([-10, -3, 0, 3, 10].map(balanceWords)).toEqual(['lis.onlyAgent', 'lis.moreAgent', 'lis.both', 'lis.moreCaller', 'lis.onlyCaller']);
  });
});
