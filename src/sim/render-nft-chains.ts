// The rules of a Service's chains, as statements of nft's JSON.
import type { NftChain, NftTable } from './nft.ts';

export type Json = Record<string, unknown>;

export interface RenderedRule {
  readonly expr: Json[];
  readonly comment?: string;
}

/** What kube-proxy marks packets with that are to be masqueraded. */
export const MARK = 16384;
export const mark = { meta: { key: 'mark' } };
export const l4proto = { meta: { key: 'l4proto' } };
export const setMark = { mangle: { key: mark, value: { '|': [mark, MARK] } } };
const fromLocal = { match: { op: '==', left: { fib: { result: 'type', flags: ['saddr'] } }, right: 'local' } };

export const goTo = (target: string) => ({ goto: { target } });

export function chainRules({ family, clusterCIDR }: NftTable, chain: NftChain): RenderedRule[] {
  const saddr = { payload: { protocol: family, field: 'saddr' } };
  const is = (left: Json, right: unknown, op = '==') => ({ match: { op, left, right } });
  switch (chain.kind) {
    case 'service': {
      const { protocol, endpoints } = chain;
      const set = endpoints.map(({ ip, port }, index) => [index, { concat: [ip, port] }]);
      const dnat = { dnat: { family, addr: { map: { key: random(endpoints.length), data: { set } } } } };
      return [{ expr: [is(l4proto, protocol), dnat] }];
    }
    case 'sticky': {
      const set = chain.endpoints.map((endpoint, index) => [index, goTo(endpoint.chain)]);
      return [
        ...chain.endpoints.map(endpoint => ({ expr: [is(saddr, `@${endpoint.set}`), goTo(endpoint.chain)] })),
        { expr: [{ vmap: { key: random(set.length), data: { set } } }] },
      ];
    }
    case 'endpoint': {
      const { protocol, endpoint, set } = chain;
      return [
        { expr: [{ set: { op: 'update', elem: saddr, set: `@${set}` } }] },
        { expr: [is(l4proto, protocol), { dnat: { addr: endpoint.ip, port: endpoint.port } }] },
      ];
    }
    case 'firewall':
      return [{ expr: [is(saddr, sources(chain.sources), '!='), { drop: null }] }];
    case 'external':
      return [{ expr: [setMark], comment: 'masquerade' }, { expr: [goTo(chain.target)] }];
    case 'external-local':
      return [
        { expr: [is(saddr, prefix(clusterCIDR)), goTo(chain.target)], comment: 'short-circuit pod traffic' },
        { expr: [fromLocal, setMark], comment: 'masquerade local traffic' },
        { expr: [fromLocal, goTo(chain.target)], comment: 'short-circuit local traffic' },
        ...(chain.local === undefined ? [] : [{ expr: [goTo(chain.local)] }]),
      ];
  }
}

function random(mod: number): Json {
  return { numgen: { mode: 'random', mod, offset: 0 } };
}

/** A set of one is not printed as a set. */
function sources(cidrs: readonly string[]): unknown {
  const all = cidrs.map(cidr => (/\/(32|128)$/.test(cidr) || !cidr.includes('/') ? cidr.split('/')[0] : prefix(cidr)));
  return all.length === 1 ? all[0] : { set: all };
}

export function prefix(cidr: string): Json {
  const [addr, len] = cidr.split('/');
  return { prefix: { addr, len: Number(len) } };
}
