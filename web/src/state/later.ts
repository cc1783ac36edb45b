// Parts of the page that are loaded when they are about to be needed: they are not in the first load.
import { locale } from '../i18n/index.svelte';

/** A part and its words: the same promise every time; after a failure the next call tries again. */
export function late<T>(load: () => Promise<T>): () => Promise<T> {
  let promise: Promise<T> | null = null;
  return () => (promise ??= Promise.all([load(), locale.late()]).then(([part]) => part).catch((error: unknown) => {
    promise = null;
    throw error;
  }));
}

export const orderForm = late(() => import('../views/order/Fields.svelte'));
export const requestEdit = late(() => import('../views/requests/Edit.svelte'));
export const firstRun = late(() => import('../views/agents/FirstRun.svelte'));
export const noRight = late(() => import('../views/NoRight.svelte'));
export const signIn = late(() => import('../views/SignIn.svelte'));
export const listeningParts = late(() => import('../views/listening/parts'));
export const miniPlayer = late(() => import('../ui/MiniPlayer.svelte'));
