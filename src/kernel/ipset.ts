// `ipset save`.
import { Lines, Parser } from './parser.ts';

/** Sets by name, with what is in each: `10.96.0.11,tcp:80`, `30080`. */
export type IpSets = ReadonlyMap<string, ReadonlySet<string>>;

/** The sets whose name `wanted` takes. */
export function ipsetSaveParser(wanted: (name: string) => boolean): Parser<IpSets> {
  const sets = new Map<string, Set<string>>();
  const take = (line: string) => {
    const [verb, name = '', entry = ''] = line.split(' ', 3);
    if (verb === 'create' && wanted(name)) sets.set(name, new Set());
    else if (verb === 'add') sets.get(name)?.add(entry);
  };
  return new Parser(new Lines('the output of ipset', take), () => sets);
}

/** A set's name in a family: those of IPv6 differ, and are cut to what ipset can hold. */
export function setName(family: 'ip' | 'ip6', name: string): string {
  return family === 'ip' ? `KUBE-${name}` : `KUBE-6-${name}`.slice(0, 31);
}
