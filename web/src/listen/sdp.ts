// The little of SDP that the player touches: credentials of ICE for a restart (WHEP, RFC 8840).

const credential = (name: 'ice-ufrag' | 'ice-pwd', sdp: string): string | null =>
  new RegExp(`^a=${name}:([^\\r\\n]+)`, 'm').exec(sdp)?.[1] ?? null;

/** The fragment that asks for a restart, from an offer made with `iceRestart`. */
export function restartFragment(offer: string): string {
  const mid = /^a=mid:([^\r\n]+)/m.exec(offer)?.[1];
  const lines = [`a=ice-ufrag:${credential('ice-ufrag', offer) ?? ''}`, `a=ice-pwd:${credential('ice-pwd', offer) ?? ''}`];
  if (mid !== undefined) lines.push('m=audio 9 UDP/TLS/RTP/SAVPF 0', `a=mid:${mid}`);
  return `${lines.join('\r\n')}\r\n`;
}

/** The answer in force, with the credentials of a fragment; `null` if the fragment has none. */
export function restarted(answer: string, fragment: string): string | null {
  const [ufrag, password] = [credential('ice-ufrag', fragment), credential('ice-pwd', fragment)];
  if (ufrag === null || password === null) return null;
  return answer.replace(/^a=ice-ufrag:[^\r\n]+/gm, `a=ice-ufrag:${ufrag}`).replace(/^a=ice-pwd:[^\r\n]+/gm, `a=ice-pwd:${password}`);
}
