// In the page before anything of its own: hears what its player hears and plays, and notes what a person would feel.
(() => {
  const SIDES = ['agent', 'caller'];
  const sides = {};
  const out = [];
  const noted = { shifts: [], tasks: [], asked: 0, connections: 0 };
  let own = null;

  const analyser = (context) => Object.assign(context.createAnalyser(), { fftSize: 4096 });
  const Native = globalThis.RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Native {
    constructor(...settings) {
      super(...settings);
      noted.connections += 1;
      this.addEventListener('track', ({ track, transceiver }) => {
        own ??= new AudioContext();
        void own.resume();
        // Chromium hands zeros to WebAudio unless the track also plays in an element; that one is muted.
        const stream = new MediaStream([track]);
        const element = Object.assign(new Audio(), { muted: true, srcObject: stream });
        element.play().catch(() => {});
        const meter = analyser(own);
        own.createMediaStreamSource(stream).connect(meter);
        sides[SIDES[transceiver.mid] ?? transceiver.mid] = { meter, element };
      });
    }

    // Sound goes through the test's cable, where there is one: another port than the engine told.
    setRemoteDescription({ type, sdp }) {
      const cables = globalThis.ears.cables;
      const other = sdp.replace(/(a=candidate:\S+ \d+ \S+ \d+ \S+ )(\d+)/g, (_, head, port) => head + (cables[port] ?? port));
      return super.setRemoteDescription({ type, sdp: other });
    }
  };

  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    const result = connect.call(this, target, ...rest);
    if (target instanceof AudioDestinationNode && this.context !== own && this.context instanceof AudioContext) {
      const splitter = this.context.createChannelSplitter(2);
      connect.call(this, splitter);
      const pair = [analyser(this.context), analyser(this.context)];
      pair.forEach((meter, channel) => connect.call(splitter, meter, channel));
      out.push(pair);
    }
    return result;
  };

  const media = navigator.mediaDevices;
  if (media) {
    media.getUserMedia = () => {
      noted.asked += 1;
      console.error('the page asked for a microphone');
      return Promise.reject(new Error('no'));
    };
  }
  new PerformanceObserver((list) => list.getEntries().forEach(({ value, hadRecentInput, sources }) => {
    const where = sources.map(({ node }) => node?.id || node?.className || node?.nodeName).join(', ');
    if (!hadRecentInput) noted.shifts.push({ value, where });
  })).observe({ type: 'layout-shift', buffered: true });
  new PerformanceObserver((list) => list.getEntries().forEach(({ startTime, duration }) => noted.tasks.push({ at: startTime, ms: duration })))
    .observe({ type: 'longtask', buffered: true });

  // Goertzel over the latest samples.
  const shares = (meter, hertz) => {
    const samples = new Float32Array(meter.fftSize);
    meter.getFloatTimeDomainData(samples);
    const total = samples.reduce((sum, sample) => sum + sample * sample, 0);
    const share = (hz) => {
      if (total / samples.length < 1e-7) return 0;
      const coefficient = 2 * Math.cos(2 * Math.PI * hz / meter.context.sampleRate);
      let [q1, q2] = [0, 0];
      for (const sample of samples) [q1, q2] = [coefficient * q1 - q2 + sample, q1];
      return Math.min(1, 2 * (q1 * q1 + q2 * q2 - coefficient * q1 * q2) / samples.length / total);
    };
    return { ...Object.fromEntries(hertz.map((hz) => [hz, share(hz)])), power: total / samples.length };
  };
  const NOTHING = { power: 0 };

  globalThis.ears = {
    cables: {},
    shares: (hertz) => {
      const loudest = (channel) => out.map((pair) => shares(pair[channel], hertz)).reduce((a, b) => (b.power > a.power ? b : a), NOTHING);
      const side = (name) => (sides[name] ? shares(sides[name].meter, hertz) : NOTHING);
      return { agent: side('agent'), caller: side('caller'), left: loudest(0), right: loudest(1) };
    },
    forget: () => noted.tasks.splice(0),
    figures: () => ({ ...noted, shift: noted.shifts.reduce((sum, { value }) => sum + value, 0) }),
  };
})();
