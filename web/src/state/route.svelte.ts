// Where one is: `#/archive?agent=anna`. Hash routes need nothing of a proxy, and the address can be kept and sent.

export const ROUTES = ['', 'requests', 'archive', 'audit', 'agents', 'access'] as const;
export type RouteName = (typeof ROUTES)[number];
type Query = Record<string, string | number | boolean | null | undefined>;

class Route {
  name = $state<RouteName>('');
  query = $state.raw(new URLSearchParams());

  constructor() {
    this.#read();
    addEventListener('hashchange', () => this.#read());
  }

  href(name: RouteName, query: Query = {}): string {
    const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
    const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
    return `#/${name}${text ? `?${text}` : ''}`;
  }

  go(name: RouteName, query: Query = {}): void {
    location.hash = this.href(name, query);
  }

  /** The same place with another query, without a step in the history (typing in a search field). */
  replaceQuery(query: Query): void {
    history.replaceState(history.state, '', this.href(this.name, query));
    this.#read();
  }

  #read(): void {
    const [path = '', query = ''] = location.hash.slice(1).split('?');
    this.name = ROUTES.find((name) => `/${name}` === path) ?? '';
    this.query = new URLSearchParams(query);
  }
}

export const route = new Route();
