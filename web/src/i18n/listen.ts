import type { Words } from './index.svelte';

const en = {
};

export const listen: Words<keyof typeof en> = {
  en,
  nb: {
  },
  da: {
  },
  sv: {
  },
};
