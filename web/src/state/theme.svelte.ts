// Light, dark, or as the system has it.

export const THEMES = ['system', 'light', 'dark'] as const;
export type ThemeName = (typeof THEMES)[number];

class Theme {
  name = $state<ThemeName>(THEMES.find((name) => name === localStorage.getItem('theme')) ?? 'system');

  constructor() {
    this.#show();
  }

  next(): void {
    this.name = THEMES[(THEMES.indexOf(this.name) + 1) % THEMES.length] ?? 'system';
    localStorage.setItem('theme', this.name);
    this.#show();
  }

  #show(): void {
    const { dataset } = document.documentElement;
    if (this.name === 'system') delete dataset.theme;
    else dataset.theme = this.name;
  }
}
export const theme = new Theme();
