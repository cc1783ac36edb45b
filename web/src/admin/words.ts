// The words of these views: keys of src/i18n/admin.ts without their prefix.
import type { EndReason } from '../api/types';
import type { admin } from '../i18n/admin';
import { t as say } from '../i18n/index.svelte';

type Short<K> = K extends `a_${infer Rest}` ? Rest : never;
export type AdminKey = Short<keyof (typeof admin)['en']>;

export const t = (key: AdminKey, values: Record<string, string | number> = {}): string => say(`a_${key}`, values);

/** Why a listening ended, in plain words. */
export const endWords = (reason: EndReason | null): string => (reason ? say(`end_${reason}`) : '');
