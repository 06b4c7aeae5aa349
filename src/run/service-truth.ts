// Keeps what the API says of Services while somebody needs it.
import { apiService, apiSlice, SERVICE_SELECTOR, SLICE_SELECTOR } from '../core/api-services.ts';
import type { Clock } from '../core/clock.ts';
import type { Cluster, KubeObject, WatchSink } from '../core/cluster.ts';
import type { RuleOptions } from '../core/rule-options.ts';
import { ServiceHistory } from '../core/service-history.ts';
import type { ServiceTruth } from '../core/service-truth.ts';

/** The server speaks at least so often: bookmarks, or the end of a watch and the next one. */
const SILENCE_MS = 60_000;

export interface ServiceWatch {
  readonly truth: ServiceTruth;
  /** Resolves when nothing is watched any more. */
  stop(): Promise<void>;
}

/** Begins to list and watch Services and EndpointSlices; returns at once. Nothing is thrown: `trouble` tells. */
export function watchServices(cluster: Cluster, clock: Clock, options: RuleOptions): ServiceWatch {
  const history = new ServiceHistory();
  const abort = new AbortController();
  const followed: Followed[] = [];
  const listed = () => {
    if (followed.every(f => f.isListed)) history.complete(clock.now());
  };
  followed.push(
    new Followed('Services', clock, listed, {
      put: (object, at) => {
        const service = apiService(object);
        if (service) history.putService(service, at);
        else history.dropService(keyOf(object), at);
      },
      drop: (object, at) => history.dropService(keyOf(object), at),
      keep: (keys, at) => history.keepServices(keys, at),
    }),
    new Followed('EndpointSlices', clock, listed, {
      put: (object, at) => {
        const slice = apiSlice(object);
        if (slice) history.putSlice(slice, at);
        else history.dropSlice(keyOf(object), at);
      },
      drop: (object, at) => history.dropSlice(keyOf(object), at),
      keep: (keys, at) => history.keepSlices(keys, at),
    }),
  );
  const [services, slices] = followed;
  const watching = Promise.all([
    services && cluster.watch('Service', { labelSelector: SERVICE_SELECTOR }, services, abort.signal),
    slices && cluster.watch('EndpointSlice', { labelSelector: SLICE_SELECTOR }, slices, abort.signal),
  ]);
  let failed: string | undefined;
  watching.catch((error: unknown) => {
    failed = `what the API says of Services cannot be followed: ${String(error)}`;
  });
  return {
    truth: {
      history,
      options,
      trouble: now => failed ?? followed.map(f => f.doubt(now)).find(text => text !== undefined),
    },
    async stop() {
      abort.abort();
      await watching.catch(() => undefined);
    },
  };
}

interface Target {
  put(object: KubeObject, at: number): void;
  drop(object: KubeObject, at: number): void;
  keep(keys: ReadonlySet<string>, at: number): void;
}

/** One kind: hands objects on, and knows whether they are as the server has them. */
class Followed implements WatchSink {
  /** All objects have been told, and no list is on its way. */
  isListed = false;
  private readonly what: string;
  private readonly clock: Clock;
  private readonly onListed: () => void;
  private readonly target: Target;
  private readonly keys = new Set<string>();
  private heardAt: number | undefined;
  private broken: string | undefined;

  constructor(what: string, clock: Clock, onListed: () => void, target: Target) {
    this.what = what;
    this.clock = clock;
    this.onListed = onListed;
    this.target = target;
  }

  listing(): void {
    this.isListed = false;
    this.keys.clear();
  }

  listed(): void {
    this.target.keep(this.keys, this.clock.now());
    this.keys.clear();
    this.isListed = true;
    this.onListed();
  }

  object(object: KubeObject): void {
    if (!this.isListed) this.keys.add(keyOf(object));
    this.target.put(object, this.clock.now());
  }

  gone(object: KubeObject): void {
    this.target.drop(object, this.clock.now());
  }

  heard(): void {
    this.heardAt = this.clock.now();
    this.broken = undefined;
  }

  trouble(error: Error): void {
    this.broken = error.message;
  }

  /** Why what was told may not be what is, at `now`. */
  doubt(now: number): string | undefined {
    if (this.broken !== undefined) return `${this.what} of the API cannot be followed: ${this.broken}`;
    if (!this.isListed || this.heardAt === undefined) return `${this.what} of the API are still being read`;
    const silent = now - this.heardAt;
    return silent > SILENCE_MS
      ? `the API has said nothing of ${this.what} for ${Math.round(silent / 1000)} s`
      : undefined;
  }
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}
