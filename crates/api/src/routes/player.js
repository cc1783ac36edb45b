// The bare player: orders a listening for this browser and takes it by WHEP. No microphone is asked for: every track is
// receive-only. `#TOKEN` in the address signs in; it never leaves the browser but in the Authorization header.
'use strict';

const $ = (id) => document.getElementById(id);
const tracks = new URLSearchParams(location.search).get('tracks') === '2' ? 2 : 1;
const player = { peer: null, at: null, listening: null, request: null, context: null, meters: [], timer: 0 };
let token = decodeURIComponent(location.hash.slice(1));

const say = (text) => { $('status').textContent = text; };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function call(method, path, body, type = 'application/json') {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== undefined) headers['Content-Type'] = type;
  const answer = await fetch(path, { method, headers, body, cache: 'no-store' });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || answer.statusText), { status: answer.status, code: problem.code });
}

const json = async (path) => (await call('GET', path)).json();

async function show() {
  try {
    const me = await json('/v1/me');
    const agents = await json('/v1/agents?limit=200');
    say(`Signed in as ${me.name}. Click on Listen: you hear the call at once, or the next one.`);
    $('sign-in').hidden = true;
    $('agents').hidden = false;
    $('list').replaceChildren(...agents.items.map(row));
  } catch (error) {
    $('agents').hidden = true;
    $('sign-in').hidden = error.status !== 401;
    say(error.status === 401 ? 'Sign in with your API token.' : `Not available: ${error.message}`);
  }
}

function row(agent) {
  const item = document.createElement('li');
  const name = document.createElement('span');
  name.textContent = `${agent.name} (${agent.number}), ${agent.status}`;
  const button = document.createElement('button');
  button.textContent = 'Listen';
  button.setAttribute('aria-label', `Listen to ${agent.name}`);
  button.dataset.agent = agent.id;
  button.addEventListener('click', () => order(agent));
  item.append(name, button);
  return item;
}

// The click is the gesture that lets the page play sound, so the audio context is made here.
async function order(agent) {
  await stop();
  player.context = new AudioContext();
  try {
    const order = { agent: agent.id, listener: { page: true }, calls: 1, layout: 'stereo' };
    player.request = await (await call('POST', '/v1/requests', JSON.stringify(order))).json();
    say(`Waiting for a call of ${agent.name} …`);
    await listen(agent, player.request.id);
  } catch (error) {
    say(`Not possible: ${error.message}`);
    await stop();
  }
}

async function listen(agent, request) {
  while (player.request && player.request.id === request) {
    const { items } = await json('/v1/listenings?live=true&limit=20');
    const mine = items.find((listening) => listening.request === request);
    if (mine && mine.state === 'ringing' && !player.peer) await connect(mine.id, agent);
    if (player.listening && !mine) return ended();
    await sleep(500);
  }
}

async function ended() {
  const listening = await json(`/v1/listenings/${player.listening}`).catch(() => null);
  player.at = null;
  await stop();
  await show();
  say(`The listening has ended${listening && listening.end_reason ? `: ${listening.end_reason}` : ''}.`);
}

async function connect(listening, agent) {
  const peer = new RTCPeerConnection();
  Object.assign(player, { peer, listening });
  for (let n = 0; n < tracks; n += 1) peer.addTransceiver('audio', { direction: 'recvonly' });
  peer.addEventListener('track', (event) => play(new MediaStream([event.track])));
  peer.addEventListener('connectionstatechange', () => {
    if (peer.connectionState === 'connected') say('Live.');
    if (peer.connectionState === 'failed') restart(peer);
  });
  const offer = await peer.createOffer();
  // Without it Chromium mixes both channels into one.
  offer.sdp = offer.sdp.replace(/(a=fmtp:\d+ minptime=[^\r\n]*)/g, '$1;stereo=1');
  await peer.setLocalDescription(offer);
  const answer = await call('POST', `/v1/listenings/${listening}/whep`, peer.localDescription.sdp, 'application/sdp');
  player.at = answer.headers.get('Location');
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  $('whom').textContent = agent.name;
  $('player').hidden = false;
  $('stop').focus();
}

// A changed network: new credentials for ICE, the same listening (WHEP, RFC 8840).
async function restart(peer) {
  if (player.peer !== peer || !player.at) return;
  try {
    const offer = await peer.createOffer({ iceRestart: true });
    await peer.setLocalDescription(offer);
    const line = (name, sdp) => new RegExp(`a=${name}:[^\\r\\n]+`).exec(sdp)[0];
    const ours = peer.localDescription.sdp;
    const fragment = `${line('ice-ufrag', ours)}\r\n${line('ice-pwd', ours)}\r\n`;
    const answer = await call('PATCH', player.at, fragment, 'application/trickle-ice-sdpfrag');
    if (answer.status !== 200) return;
    const theirs = await answer.text();
    let sdp = peer.currentRemoteDescription.sdp;
    for (const name of ['ice-ufrag', 'ice-pwd']) {
      sdp = sdp.replace(new RegExp(`a=${name}:[^\\r\\n]+`, 'g'), line(name, theirs));
    }
    await peer.setRemoteDescription({ type: 'answer', sdp });
  } catch (error) {
    say(`The connection is lost: ${error.message}`);
  }
}

// Chromium hands zeros to WebAudio unless the track also sits in an audio element; that one is muted.
function play(stream) {
  const element = new Audio();
  element.srcObject = stream;
  element.muted = true;
  element.play().catch(() => {});
  const context = player.context;
  const source = context.createMediaStreamSource(stream);
  const sides = context.createChannelSplitter(2);
  source.connect(sides);
  const analyser = (channel) => {
    const meter = context.createAnalyser();
    meter.fftSize = 2048;
    sides.connect(meter, channel);
    return meter;
  };
  if (tracks === 2) {
    const panner = context.createStereoPanner();
    panner.pan.value = player.meters.length === 0 ? -1 : 1;
    source.connect(panner).connect(context.destination);
    player.meters.push(analyser(0));
  } else {
    source.connect(context.destination);
    player.meters.push(analyser(0), analyser(1));
  }
  context.resume();
  if (!player.timer) player.timer = setInterval(meter, 100);
}

function meter() {
  player.meters.forEach((analyser, n) => {
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    $(n === 0 ? 'left' : 'right').value = power > 0 ? Math.max(-60, 10 * Math.log10(power)) : -60;
  });
}

async function stop() {
  const { peer, at, request, context, timer } = player;
  Object.assign(player, { peer: null, at: null, listening: null, request: null, context: null, meters: [], timer: 0 });
  clearInterval(timer);
  $('player').hidden = true;
  if (at) await call('DELETE', at).catch(() => {});
  if (request) await call('DELETE', `/v1/requests/${request.id}`).catch(() => {});
  if (peer) peer.close();
  if (context) await context.close();
}

$('stop').addEventListener('click', async () => {
  await stop();
  say('You have stopped listening.');
});
$('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value;
  show();
});
addEventListener('pagehide', () => {
  if (player.at) fetch(player.at, { method: 'DELETE', headers: { Authorization: `Bearer ${token}` }, keepalive: true });
});
show();
