import type { RuleOptions } from './rule-options.ts';
import type { ServiceHistory } from './service-history.ts';

/** What the API says of Services and kube-proxy's configuration, kept while a run or a verification goes on. */
export interface ServiceTruth {
  readonly history: ServiceHistory;
  readonly options: RuleOptions;
  /** Why it cannot be relied on at `now` (our clock, ms); undefined when it is up to date. */
  trouble(now: number): string | undefined;
}
