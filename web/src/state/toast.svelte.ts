// What was done, said once at the bottom, with a way back for some seconds.

export interface Toast { id: number; text: string; undo: (() => void) | null }

class Toasts {
  current = $state.raw<Toast | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #left = 0;

  show(text: string, undo?: () => void): void {
    this.current = { id: (this.current?.id ?? 0) + 1, text, undo: undo ?? null };
    this.#left = undo ? 10_000 : 6_000;
    this.go();
  }
  close(): void {
    clearTimeout(this.#timer);
    this.current = null;
  }
  /** While it is pointed at or holds the focus it does not go away (WCAG 2.2.1). */
  hold(): void {
    clearTimeout(this.#timer);
  }
  go(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), this.#left);
  }
}

export const toasts = new Toasts();

export function toast(text: string, undo?: () => void): void {
  toasts.show(text, undo);
}
