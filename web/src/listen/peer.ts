// One connection to the engine's ear by WHEP: two lines of audio that are only received, the agent's and the caller's. No microphone
// is asked for, and none could be sent.
import { send } from '../api/client';
import { restartFragment, restarted } from './sdp';
import type { SideName } from './sound';

export interface Handlers {
  track(side: SideName, track: MediaStreamTrack): void;
  /** Sound may flow, or flows no more. */
  connection(state: 'connected' | 'dropped'): void;
}

/** A short interruption heals by itself. */
const PATIENCE_MS = 1500;

export class Peer {
  readonly #connection = new RTCPeerConnection();
  readonly #handlers: Handlers;
  #location: string | null = null;
  #closed = false;
  #patience = 0;

  constructor(handlers: Handlers) {
    this.#handlers = handlers;
    const sides = (['agent', 'caller'] as const).map((side) => ({
      side, transceiver: this.#connection.addTransceiver('audio', { direction: 'recvonly' }),
    }));
    this.#connection.addEventListener('track', (event) => {
      const found = sides.find(({ transceiver }) => transceiver === event.transceiver);
      if (found) this.#handlers.track(found.side, event.track);
    });
    this.#connection.addEventListener('connectionstatechange', () => this.#changed());
  }

  /** Answers the listening; its address is known from then on. */
  async offer(listening: string): Promise<void> {
    await this.#connection.setLocalDescription(await this.#connection.createOffer());
    const sdp = this.#connection.localDescription?.sdp ?? '';
    const answer = await send('POST', `/v1/listenings/${listening}/whep`, { raw: { type: 'application/sdp', text: sdp } });
    this.#location = answer.headers.get('Location');
    const text = await answer.text();
    if (this.#closed) {
      // stopped meanwhile
      await this.hangUp();
      return;
    }
    await this.#connection.setRemoteDescription({ type: 'answer', sdp: text });
  }

  /** New credentials for ICE after a change of network; the stream goes on (WHEP, RFC 8840). */
  async restart(): Promise<void> {
    if (!this.#location) return;
    if (this.#connection.signalingState === 'have-local-offer') await this.#connection.setLocalDescription({ type: 'rollback' });
    await this.#connection.setLocalDescription(await this.#connection.createOffer({ iceRestart: true }));
    const text = restartFragment(this.#connection.localDescription?.sdp ?? '');
    const answer = await send('PATCH', this.#location, { raw: { type: 'application/trickle-ice-sdpfrag', text } });
    const present = this.#connection.currentRemoteDescription?.sdp;
    const sdp = answer.status === 200 && present ? restarted(present, await answer.text()) : null;
    if (sdp && !this.#closed) await this.#connection.setRemoteDescription({ type: 'answer', sdp });
  }

  get isAnswered(): boolean {
    return this.#location !== null;
  }

  /** Ends the listening. */
  async hangUp(): Promise<void> {
    const location = this.#location;
    this.#location = null;
    if (location) await send('DELETE', location);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#patience);
    this.#connection.close();
  }

  async reports(): Promise<Record<string, unknown>[]> {
    const reports: Record<string, unknown>[] = [];
    (await this.#connection.getStats()).forEach((report: Record<string, unknown>) => reports.push(report));
    return reports;
  }

  #changed(): void {
    if (this.#closed) return;
    clearTimeout(this.#patience);
    const state = this.#connection.connectionState;
    if (state === 'connected') this.#handlers.connection('connected');
    if (state === 'failed' || state === 'closed') this.#handlers.connection('dropped');
    if (state === 'disconnected') {
      this.#patience = window.setTimeout(() => {
        if (!this.#closed && this.#connection.connectionState === 'disconnected') this.#handlers.connection('dropped');
      }, PATIENCE_MS);
    }
  }
}
