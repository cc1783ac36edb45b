// Parts of the page that are loaded when they are about to be needed: they are not in the first load.
import { locale } from '../i18n/index.svelte';

/** A part: the same promise every time; after a failure the next call tries again. */
function part<T>(load: () => Promise<T>): () => Promise<T> {
  let promise: Promise<T> | null = null;
  return () => (promise ??= load().catch((error: unknown) => {
    promise = null;
    throw error;
  }));
}

/** A part and its words. */
export function late<T>(load: () => Promise<T>): () => Promise<T> {
  return part(() => Promise.all([load(), locale.late()]).then(([loaded]) => loaded));
}

export const orderForm = late(() => import('../views/order/Fields.svelte'));
export const requestEdit = late(() => import('../views/requests/Edit.svelte'));
export const firstRun = late(() => import('../views/agents/FirstRun.svelte'));
export const noRight = late(() => import('../views/NoRight.svelte'));
/** Its words are in the first load. */
export const signIn = part(() => import('../views/SignIn.svelte'));
export const listeningParts = late(() => import('../views/listening/parts'));
export const miniPlayer = late(() => import('../ui/MiniPlayer.svelte'));
