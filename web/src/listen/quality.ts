// How good the sound is that arrives here, from two looks at the connection's counters.

export type Grade = 'good' | 'fair' | 'poor';

/** Counters that only grow, of both tracks together, and the latest jitter and round trip. */
export interface Counters {
  at: number;
  packets: number;
  lost: number;
  /** Samples played, and those of them that were made up while somebody spoke. */
  samples: number;
  concealed: number;
  jitter_ms: number;
  round_trip_ms: number | null;
}

export interface Sound {
  /** 0 to 1. */
  lost: number;
  concealed: number;
  jitter_ms: number;
  round_trip_ms: number | null;
  /** Nothing arrived since the last look. */
  stalled: boolean;
}

export function counters(at: number, reports: Iterable<Record<string, unknown>>): Counters {
  const sum: Counters = { at, packets: 0, lost: 0, samples: 0, concealed: 0, jitter_ms: 0, round_trip_ms: null };
  const number = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
  for (const report of reports) {
    if (report.type === 'inbound-rtp' && report.kind === 'audio') {
      sum.packets += number(report.packetsReceived);
      sum.lost += Math.max(0, number(report.packetsLost));
      sum.samples += number(report.totalSamplesReceived);
      sum.concealed += Math.max(0, number(report.concealedSamples) - number(report.silentConcealedSamples));
      sum.jitter_ms = Math.max(sum.jitter_ms, number(report.jitter) * 1000);
    }
    if (report.type === 'candidate-pair' && report.nominated === true && typeof report.currentRoundTripTime === 'number') {
      sum.round_trip_ms = report.currentRoundTripTime * 1000;
    }
  }
  return sum;
}

/** Between two looks; counters that went back (a new connection) count from zero. */
export function between(before: Counters, after: Counters): Sound {
  const grown = (key: 'packets' | 'lost' | 'samples' | 'concealed'): number =>
    after[key] >= before[key] ? after[key] - before[key] : after[key];
  const [packets, lost, samples] = [grown('packets'), grown('lost'), grown('samples')];
  return {
    lost: packets + lost > 0 ? lost / (packets + lost) : 0,
    concealed: samples > 0 ? Math.min(1, grown('concealed') / samples) : 0,
    jitter_ms: after.jitter_ms,
    round_trip_ms: after.round_trip_ms,
    stalled: packets === 0,
  };
}

export function grade(sound: Pick<Sound, 'lost' | 'concealed' | 'jitter_ms'> & { stalled?: boolean }): Grade {
  if (sound.stalled || sound.lost > 0.05 || sound.concealed > 0.08 || sound.jitter_ms > 80) return 'poor';
  if (sound.lost > 0.01 || sound.concealed > 0.02 || sound.jitter_ms > 30) return 'fair';
  return 'good';
}
