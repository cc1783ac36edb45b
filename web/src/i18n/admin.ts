import type { Words } from './index.svelte';

const en = {
};

export const admin: Words<keyof typeof en> = {
  en,
  nb: {
  },
  da: {
  },
  sv: {
  },
};
