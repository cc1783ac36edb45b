// What one does to a request, and what is said about it.
import { json, newKey, send } from '../../api/client';
import type { MonitoringRequest } from '../../api/types';
import { locale, t } from '../../i18n/index.svelte';
import { live } from '../../state/live.svelte';
import { session } from '../../state/session.svelte';
import { toast } from '../../state/toast.svelte';
import { problemWords } from '../../ui/words';
import { again } from '../order/again';

/**
 * Deletes at once: a listener who should hear nothing must hear nothing, also if this tab is closed now. Undo orders the same again
 * with the calls that are left.
 */
export async function remove(request: MonitoringRequest): Promise<boolean> {
  const n = request.agent.name;
  try {
    await send('DELETE', `/v1/requests/${request.id}`);
  } catch (error) {
    await locale.late();
    toast(`${t('notChanged')} ${problemWords(error)}`);
    return false;
  }
  live.put({ request: { ...request, state: 'deleted', ended_at: new Date().toISOString() } });
  const body = again(request, session.user?.id ?? '');
  toast(t('deleted', { n }), body ? () => void restore(n, body) : undefined);
  return true;
}

async function restore(n: string, body: NonNullable<ReturnType<typeof again>>): Promise<void> {
  try {
    const request = await json<MonitoringRequest>('POST', '/v1/requests', { body, headers: { 'Idempotency-Key': newKey() } });
    live.put({ request });
    toast(t('undone', { n }));
  } catch (error) {
    await locale.late();
    toast(t('undoFailed', { m: problemWords(error) }));
  }
}

export async function arm(request: MonitoringRequest): Promise<void> {
  try {
    live.put({ request: await json<MonitoringRequest>('POST', `/v1/requests/${request.id}/resume`) });
    toast(t('armed', { n: request.agent.name }));
  } catch (error) {
    await locale.late();
    toast(`${t('notChanged')} ${problemWords(error)}`);
  }
}
