import type { Words } from './index.svelte';

const en = {
};

export const core: Words<keyof typeof en> = {
  en,
  nb: {
  },
  da: {
  },
  sv: {
  },
};
