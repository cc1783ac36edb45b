// What a screen reader is told that the eye sees by itself: politely for lists, at once for what must not wait.

class Sayer {
  polite = $state('');
  urgent = $state('');
}
export const sayer = new Sayer();

/** The same words twice are said twice: a no-break space makes them another text. */
export function say(text: string, how: 'polite' | 'urgent' = 'polite'): void {
  sayer[how] = sayer[how] === text ? `${text}\u00a0` : text;
}
