// Ringing like a phone: sound, title, vibration and, if allowed, a notification.

/** Nordic ringing: 425 Hz, one second on and four off, here warmed by a second tone. */
const TONES_HZ = [425, 510];
const ON_S = 1;
const PERIOD_S = 4;
/** Longer than any phone rings; `hush` ends it before. */
const PERIODS = 15;
const LOUDNESS = 0.12;

export interface Ring {
  /** «Anna Berg»; stands in the title. */
  name: string;
  title: string;
  body: string;
  /** Where it sounds; none where sound is off or not allowed yet. */
  audio: AudioContext | null;
}

export class Bell {
  #tone: { gain: GainNode; oscillators: OscillatorNode[] } | null = null;
  #blink = 0;
  #title: string | null = null;
  #notification: Notification | null = null;

  ring(ring: Ring): void {
    this.hush();
    if (ring.audio) this.sound(ring.audio);
    this.#blinkTitle(`(☎) ${ring.name}`);
    if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.([400, 200, 400]);
    if (document.visibilityState === 'hidden') this.#notify(ring);
  }

  /** Joins a bell that already rings in silence. */
  sound(context: AudioContext): void {
    if (this.#tone) return;
    const gain = context.createGain();
    gain.gain.value = 0;
    gain.connect(context.destination);
    for (let period = 0; period < PERIODS; period += 1) {
      const at = context.currentTime + 0.05 + period * PERIOD_S;
      gain.gain.setTargetAtTime(LOUDNESS, at, 0.02);
      gain.gain.setTargetAtTime(0, at + ON_S, 0.03);
    }
    const oscillators = TONES_HZ.map((hertz) => {
      const oscillator = context.createOscillator();
      oscillator.frequency.value = hertz;
      oscillator.connect(gain);
      oscillator.start();
      oscillator.stop(context.currentTime + PERIODS * PERIOD_S);
      return oscillator;
    });
    this.#tone = { gain, oscillators };
  }

  silence(): void {
    this.#tone?.oscillators.forEach((oscillator) => oscillator.stop());
    this.#tone?.gain.disconnect();
    this.#tone = null;
  }

  hush(): void {
    this.silence();
    clearInterval(this.#blink);
    this.#blink = 0;
    if (this.#title !== null) document.title = this.#title;
    this.#title = null;
    this.#notification?.close();
    this.#notification = null;
    if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.(0);
  }

  #blinkTitle(text: string): void {
    this.#title = document.title;
    document.title = text;
    this.#blink = window.setInterval(() => {
      // the page may have given itself another title meanwhile (route, language)
      if (document.title !== text) [this.#title, document.title] = [document.title, text];
      else document.title = this.#title ?? text;
    }, 1000);
  }

  #notify(ring: Ring): void {
    if (!('Notification' in window) || Notification.permission !== 'granted') return;
    try {
      const notification = new Notification(ring.title, { body: ring.body, tag: 'medlytt-ring', requireInteraction: true, icon: '/icon.svg' });
      notification.addEventListener('click', () => {
        window.focus();
        notification.close();
      });
      this.#notification = notification;
    } catch {
      // some phones only allow notifications of service workers
    }
  }
}
