// Server-sent events by `fetch`: unlike `EventSource` it shows the status of a refusal and `Retry-After`, lets another tab go on
// after the last event of this one, and hears the comments that say the line is alive.

export interface Message { id: string; event: string; data: string }

/** Takes text as it comes and gives whole messages (HTML Standard, "Interpreting an event stream"). */
export class Parser {
  #rest = '';
  #id = '';
  #event = '';
  #data: string[] = [];

  push(text: string): Message[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.#line(line.replace(/\r$/, '')) ?? []);
  }

  #line(line: string): Message | null {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'id') this.#id = value;
    else if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    return null;
  }

  #dispatch(): Message | null {
    const message = this.#data.length ? { id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') } : null;
    this.#event = '';
    this.#data = [];
    return message;
  }
}

/** Reads a response to its end; `heard` at every byte, comments too. */
export async function read(response: Response, heard: () => void, take: (messages: Message[]) => void): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new Parser();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    heard();
    const messages = parser.push(part.value);
    if (messages.length) take(messages);
  }
}
