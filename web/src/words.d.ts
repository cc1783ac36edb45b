declare module 'virtual:words/*' {
  const words: Record<string, import('./i18n/index.svelte').Text>;
  export default words;
}
