// What is heard, by WebAudio: each side of the call through its own gain and place, both through one volume. Meters look at the
// sides as they arrive, so that volume and balance do not change what they show.
import { decibels, gainOfVolume, gainsOfBalance } from './levels';

export type SideName = 'agent' | 'caller';

export interface Mix {
  /** 0 to 100. */
  volume: number;
  muted: boolean;
  /** -10 (agent alone) to 10 (caller alone). */
  balance: number;
  /** The agent to the left, the caller to the right. */
  spread: boolean;
}

interface Chain { analyser: AnalyserNode; gain: GainNode; place: StereoPannerNode }
interface Source { node: MediaStreamAudioSourceNode; element: HTMLAudioElement }

/** Browsers play nothing until somebody has clicked or typed on the page. */
export const mayPlay = (): boolean => navigator.userActivation?.hasBeenActive ?? true;

export class Sound {
  #context: AudioContext | null = null;
  #chains: Record<SideName, Chain> | null = null;
  #volume: GainNode | null = null;
  #sources: Partial<Record<SideName, Source>> = {};
  #samples = new Float32Array(2048);

  /** The context, running; to be called from a click the first time. */
  open(): AudioContext {
    this.#context ??= this.#build(new AudioContext({ latencyHint: 'interactive' }));
    if (this.#context.state === 'suspended' && mayPlay()) void this.#context.resume();
    return this.#context;
  }

  /** Nothing runs while nothing is heard. */
  rest(): void {
    for (const side of ['agent', 'caller'] as const) this.#detach(side);
    if (this.#context?.state === 'running') void this.#context.suspend();
  }

  /** A track takes the place of the one before on its side. */
  attach(side: SideName, track: MediaStreamTrack): void {
    const context = this.open();
    this.#detach(side);
    const stream = new MediaStream([track]);
    // Chromium hands zeros to WebAudio unless the track also plays in an element; that one is muted.
    const element = new Audio();
    element.muted = true;
    element.srcObject = stream;
    element.play().catch(() => {});
    const node = context.createMediaStreamSource(stream);
    if (this.#chains) node.connect(this.#chains[side].analyser);
    this.#sources[side] = { node, element };
  }

  mix(mix: Mix): void {
    if (!this.#context || !this.#chains || !this.#volume) return;
    const now = this.#context.currentTime;
    // 20 ms, so that nothing clicks
    const glide = (parameter: AudioParam, value: number): void => {
      parameter.setTargetAtTime(value, now, 0.02);
    };
    const gains = gainsOfBalance(mix.balance);
    glide(this.#volume.gain, mix.muted ? 0 : gainOfVolume(mix.volume));
    for (const side of ['agent', 'caller'] as const) {
      glide(this.#chains[side].gain.gain, gains[side]);
      glide(this.#chains[side].place.pan, mix.spread ? (side === 'agent' ? -0.8 : 0.8) : 0);
    }
  }

  /** Loudness of both sides in the last 43 ms, in decibels relative to full scale. */
  levels(): Record<SideName, number> {
    const of = (side: SideName): number => {
      if (!this.#chains || !this.#sources[side]) return -127;
      this.#chains[side].analyser.getFloatTimeDomainData(this.#samples);
      return decibels(this.#samples);
    };
    return { agent: of('agent'), caller: of('caller') };
  }

  #build(context: AudioContext): AudioContext {
    const volume = context.createGain();
    volume.connect(context.destination);
    const chain = (): Chain => {
      const analyser = context.createAnalyser();
      analyser.fftSize = 2048;
      const [gain, place] = [context.createGain(), context.createStereoPanner()];
      analyser.connect(gain).connect(place).connect(volume);
      return { analyser, gain, place };
    };
    [this.#volume, this.#chains] = [volume, { agent: chain(), caller: chain() }];
    return context;
  }

  #detach(side: SideName): void {
    const source = this.#sources[side];
    if (!source) return;
    source.node.disconnect();
    source.element.pause();
    source.element.srcObject = null;
    delete this.#sources[side];
  }
}
