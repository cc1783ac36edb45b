// What a refusal means and what to do about it, in the viewer's words.
import { ApiError } from '../api/client';
import { t, type AdminKey } from './words';

const BY_CODE: Partial<Record<string, AdminKey>> = {
  unreachable: 'err_unreachable',
  forbidden: 'err_forbidden',
  'request-ended': 'err_ended',
  'precondition-failed': 'err_changed',
  'too-many-requests': 'err_many',
  'audit-unavailable': 'err_audit',
  'store-unavailable': 'err_store',
  'token-configured': 'err_configured',
  'limit-reached': 'err_limit',
  unauthenticated: 'err_session',
};
const BY_STATUS: Partial<Record<number, AdminKey>> = { 403: 'err_forbidden', 404: 'err_gone', 500: 'err_fault', 503: 'err_busy' };

export function trouble(error: unknown): string {
  if (!(error instanceof ApiError)) return t('err_fault');
  const key = BY_CODE[error.code] ?? BY_STATUS[error.status];
  const words = key ? t(key) : error.message || t('err_fault');
  return error.retryAfter ? `${words} ${t('err_after', { n: error.retryAfter })}` : words;
}

export const reference = (error: unknown): string | null => (error instanceof ApiError ? error.requestId : null);

/** A command may only fail with an answer of the engine; anything else is a fault of this page and goes on. */
export function refused(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  throw error;
}
