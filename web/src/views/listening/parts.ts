// What is only needed once something rings or is heard: not in the first load.
export { default as Meter } from '../../ui/Meter.svelte';
export { default as Ribbon } from '../../ui/Ribbon.svelte';
export { default as Others } from './Others.svelte';
export { default as PageControls } from './PageControls.svelte';
export { default as PhoneControls } from './PhoneControls.svelte';
export { default as Quality } from './Quality.svelte';
