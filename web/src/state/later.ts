// Parts of the page that are loaded when they are about to be needed: they are not in the first load.

/** The same promise every time; after a failure the next call tries again. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
  let promise: Promise<T> | null = null;
  return () => (promise ??= load().catch((error: unknown) => {
    promise = null;
    throw error;
  }));
}

export const orderForm = once(() => import('../views/order/Fields.svelte'));
export const requestEdit = once(() => import('../views/requests/Edit.svelte'));
export const signIn = once(() => import('../views/SignIn.svelte'));
