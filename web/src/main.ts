import { mount } from 'svelte';
import App from './App.svelte';
import { locale } from './i18n/index.svelte';
import './page.css';
import './core.css';

const target = document.getElementById('app');
if (target) void locale.ready.then(() => mount(App, { target }));
