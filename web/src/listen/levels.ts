// From decibels to what a meter shows.

/** The left end of a meter. */
export const FLOOR_DB = -60;
/** Louder than this is speech; it stays speech until it was below `QUIET_DB` for `HANG_MS` (pauses between words). */
export const SPEECH_DB = -42;
export const QUIET_DB = -48;
export const HANG_MS = 500;
/** A peak holds, then falls. */
export const PEAK_HOLD_MS = 900;
export const PEAK_FALL_PER_S = 0.5;

/** 0 at the floor, 1 at full scale. */
export const scale = (db: number): number => Math.min(1, Math.max(0, (db - FLOOR_DB) / -FLOOR_DB));

/** Decibels relative to full scale of samples from -1 to 1. */
export function decibels(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const power = samples.length ? sum / samples.length : 0;
  return power > 0 ? Math.max(-127, 10 * Math.log10(power)) : -127;
}

export interface Side {
  db: number;
  /** 0 to 1. */
  value: number;
  peak: number;
  peakAt: number;
  speaking: boolean;
  loudAt: number;
  at: number;
}

export const SILENCE: Side = { db: -127, value: 0, peak: 0, peakAt: -1e9, speaking: false, loudAt: -1e9, at: 0 };

/** The next value of a side; `speaking` where somebody else has judged it already (the engine). */
export function next(side: Side, db: number, at: number, speaking?: boolean): Side {
  const value = scale(db);
  const fallen = at - side.peakAt <= PEAK_HOLD_MS ? side.peak : side.peak - (PEAK_FALL_PER_S * Math.max(0, at - side.at)) / 1000;
  const [peak, peakAt] = value >= fallen ? [value, at] : [Math.max(0, fallen), side.peakAt];
  const loudAt = db > (side.speaking ? QUIET_DB : SPEECH_DB) ? at : side.loudAt;
  return { db, value, peak, peakAt, loudAt, at, speaking: speaking ?? at - loudAt < HANG_MS };
}

/** What a slider of 0 to 100 multiplies by: even steps to the ear, silence at 0. */
export const gainOfVolume = (volume: number): number => (Math.min(100, Math.max(0, volume)) / 100) ** 2;

/** What each side is multiplied by at a balance of -10 (agent alone) to 10 (caller alone). */
export function gainsOfBalance(balance: number): { agent: number; caller: number } {
  const side = (away: number): number => Math.min(1, Math.max(0, 1 - away / 10)) ** 2;
  return { agent: side(balance), caller: side(-balance) };
}
