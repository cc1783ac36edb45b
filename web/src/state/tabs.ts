// The tabs of one browser tell each other what happened: one of them reads the events for all, and who signs out does so everywhere.

const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('medlytt');
type Handler = (message: never) => void;
const handlers = new Map<string, Set<Handler>>();

channel?.addEventListener('message', ({ data }: MessageEvent<{ topic: string; message: unknown }>) => {
  for (const handler of handlers.get(data.topic) ?? []) handler(data.message as never);
});

/** To the other tabs, not to this one. */
export function tell(topic: string, message: unknown = null): void {
  channel?.postMessage({ topic, message });
}

/** Until the returned function is called. */
export function hear<T>(topic: string, handler: (message: T) => void): () => void {
  const set = handlers.get(topic) ?? new Set<Handler>();
  handlers.set(topic, set.add(handler as Handler));
  return () => void set.delete(handler as Handler);
}
