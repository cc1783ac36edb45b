// Undo of a deletion. Apart from the form, which is loaded later.
import type { MonitoringRequest, OrderBody } from '../../api/types';

/** The same order again with what is left of it; `null` if nothing is. */
export function again(request: MonitoringRequest, me: string): OrderBody | null {
  const { user, agent, number, kind } = request.listener;
  const left = request.calls.limit === null ? undefined : request.calls.limit - request.calls.used;
  if (left !== undefined && left < 1) return null;
  if (kind === 'page' && user !== me) return null;
  return {
    agent: request.agent.id,
    listener: kind === 'page' ? { page: true } : user !== undefined ? { user } : agent !== undefined ? { agent } : { number: number ?? '' },
    ...(left === undefined ? {} : { calls: left }),
    until: request.until,
    directions: request.directions,
    layout: request.layout,
    ...(kind === 'page' ? {} : { confirm: request.confirm }),
  };
}
