// Which words say why a listening ended, and where the balance stands.
import type { Listening } from '../api/types';
import type { Key } from '../i18n/index.svelte';
import type { EndedBy } from './machine';

const ACTIVE = ['waiting', 'calling', 'listening', 'suspended'];

/** `by`: how the player of this tab ended it, if it was this tab's; `request`: the state of its request, if known. */
export function endWords(listening: Pick<Listening, 'listener' | 'end_reason'>, by: EndedBy | null, request: string | undefined): Key {
  const stays = request === undefined || ACTIVE.includes(request);
  if (by === 'stop') return stays ? 'lis.e.stop' : 'lis.e.page-hung-up';
  if (by === 'skip' && stays) return 'lis.e.skip';
  if (by === 'lost' && listening.end_reason === null) return 'lis.e.lost';
  const reason = listening.end_reason;
  if (reason === null) return 'lis.e.unknown';
  // the engine has one reason for a request that is deleted and for one listening that is hung up
  if (reason === 'deleted' && request !== undefined && request !== 'deleted') return 'lis.e.hung-up';
  if (listening.listener.kind === 'page') {
    // the listener is who reads this
    if (reason === 'listener-no-answer') return 'lis.e.page-no-answer';
    if (reason === 'listener-hung-up' || reason === 'listener-declined') return 'lis.e.page-hung-up';
    if (reason === 'listener-lost') return 'lis.e.page-lost';
    if (reason === 'listener-busy') return 'lis.e.page-busy';
  }
  return `lis.e.${reason}`;
}

export function balanceWords(balance: number): Key {
  if (balance === 0) return 'lis.both';
  if (balance <= -10) return 'lis.onlyAgent';
  if (balance >= 10) return 'lis.onlyCaller';
  return balance < 0 ? 'lis.moreAgent' : 'lis.moreCaller';
}
