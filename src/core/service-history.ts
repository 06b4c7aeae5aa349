// What the API has said of Services lately: what holds now, and what held not long ago, since kernels lag behind.
import type { ApiEndpoint, ApiService, ApiSlice } from './api-services.ts';
import type { ServiceVersion } from './expected-rules.ts';

/** What was replaced longer ago is forgotten, ms. No kernel is compared over a longer time. */
export const KEPT_MS = 600_000;

interface Entry {
  current: ServiceVersion;
  /** Oldest first; `until` is when it was replaced, ms of our clock. */
  past: { readonly version: ServiceVersion; readonly until: number }[];
}

const NOTHING: ServiceVersion = { slices: [] };

/** Fed with every object and every change of it; all times are of our own clock, ms. */
export class ServiceHistory {
  /** Since when no change went unseen; undefined until everything has been told once. */
  private gapless: number | undefined;
  /** Another number means that something changed. */
  revision = 0;
  private readonly entries = new Map<string, Entry>();
  /** Keys that have a past. */
  private readonly recent = new Set<string>();
  private readonly services = new Set<string>();
  /** Service by slice. */
  private readonly slices = new Map<string, string>();
  private tidiedAt = 0;

  get since(): number | undefined {
    return this.gapless;
  }

  /** Everything has been told, as it was at `at`; changes before may have gone unseen. */
  complete(at: number): void {
    this.gapless = at;
    this.revision++;
  }

  putService(service: ApiService, at: number): void {
    this.services.add(service.key);
    const { current } = this.entry(service.key);
    if (JSON.stringify(current.service) === JSON.stringify(service)) return;
    this.replace(service.key, { ...current, service }, at);
  }

  dropService(key: string, at: number): void {
    if (!this.services.delete(key)) return;
    this.replace(key, { slices: this.entry(key).current.slices }, at);
  }

  putSlice(given: ApiSlice, at: number): void {
    const owner = this.slices.get(given.key);
    if (owner !== undefined && owner !== given.service) this.dropSlice(given.key, at);
    this.slices.set(given.key, given.service);
    const { current } = this.entry(given.service);
    const index = current.slices.findIndex(s => s.key === given.key);
    const before = current.slices[index];
    const slice = before ? sharing(before, given) : given;
    if (slice === before) return;
    const slices = before ? current.slices.with(index, slice) : [...current.slices, slice];
    this.replace(given.service, { ...current, slices }, at);
  }

  dropSlice(key: string, at: number): void {
    const owner = this.slices.get(key);
    if (owner === undefined || !this.slices.delete(key)) return;
    const { current } = this.entry(owner);
    this.replace(owner, { ...current, slices: current.slices.filter(s => s.key !== key) }, at);
  }

  /** After a list: Services or slices that were not in it are gone. */
  keepServices(keys: ReadonlySet<string>, at: number): void {
    for (const key of [...this.services]) if (!keys.has(key)) this.dropService(key, at);
  }

  keepSlices(keys: ReadonlySet<string>, at: number): void {
    for (const key of [...this.slices.keys()]) if (!keys.has(key)) this.dropSlice(key, at);
  }

  /** Services that kube-proxy serves now, by `namespace/name`. */
  *current(): Generator<[key: string, version: ServiceVersion]> {
    for (const [key, { current }] of this.entries) if (current.service) yield [key, current];
  }

  service(key: string): ApiService | undefined {
    return this.entries.get(key)?.current.service;
  }

  /** Some endpoint is ready, or serves its last connections. */
  hasEndpoints(key: string): boolean {
    const slices = this.entries.get(key)?.current.slices ?? [];
    return slices.some(({ endpoints }) => endpoints.some(e => e.ready || e.ending));
  }

  /** What held at some time after `since` and does not any more. */
  replacedAfter(key: string, since: number): ServiceVersion[] {
    return (this.entries.get(key)?.past ?? []).filter(p => p.until > since).map(p => p.version);
  }

  /** Keys of Services of which something was replaced after `since`. */
  changedAfter(since: number): string[] {
    return [...this.recent].filter(key => (this.entries.get(key)?.past.at(-1)?.until ?? 0) > since);
  }

  private entry(key: string): Entry {
    return this.entries.get(key) ?? { current: NOTHING, past: [] };
  }

  private replace(key: string, version: ServiceVersion, at: number): void {
    const entry = this.entry(key);
    this.entries.set(key, entry);
    // Before all is known once, nothing has a past.
    if (this.gapless !== undefined) {
      entry.past.push({ version: entry.current, until: at });
      this.recent.add(key);
    }
    entry.current = version;
    this.revision++;
    this.tidy(key, at);
  }

  private tidy(key: string, at: number): void {
    this.forget(key, at);
    if (at - this.tidiedAt < KEPT_MS / 10) return;
    this.tidiedAt = at;
    for (const each of [...this.recent]) this.forget(each, at);
  }

  private forget(key: string, at: number): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    entry.past = entry.past.filter(p => p.until > at - KEPT_MS);
    if (entry.past.length > 0) return;
    this.recent.delete(key);
    if (!entry.current.service && entry.current.slices.length === 0) this.entries.delete(key);
  }
}

/** The slice with every endpoint that did not change taken from the one before; that one itself when nothing did. */
function sharing(before: ApiSlice, slice: ApiSlice): ApiSlice {
  const known = new Map(before.endpoints.map(e => [e.address, e]));
  const endpoints = slice.endpoints.map(e => {
    const old = known.get(e.address);
    return old && sameEndpoint(old, e) ? old : e;
  });
  const same =
    endpoints.length === before.endpoints.length &&
    endpoints.every((e, i) => e === before.endpoints[i]) &&
    before.family === slice.family &&
    JSON.stringify(before.ports) === JSON.stringify(slice.ports);
  return same ? before : { ...slice, endpoints };
}

function sameEndpoint(a: ApiEndpoint, b: ApiEndpoint): boolean {
  return (
    a.node === b.node &&
    a.ready === b.ready &&
    a.ending === b.ending &&
    a.terminating === b.terminating &&
    String(a.zones) === String(b.zones) &&
    String(a.nodes) === String(b.nodes)
  );
}
