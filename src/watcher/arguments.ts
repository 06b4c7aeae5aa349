import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { isMode, MODES, type Mode } from '../core/mode.ts';
import type { OwnService } from '../core/probe-service.ts';
import { type ProxyAddresses, readHostPort } from '../core/proxy-address.ts';
import { readKey } from '../core/service-port.ts';
import { VANTAGES } from '../core/vantage.ts';
import type { SweepOptions } from './sweep.ts';
import type { WatchOptions } from './watch.ts';

export const USAGE = `usage: watcher watch --node NAME --vantage host|pod --targets FILE --main AT --warm AT
                     [--addresses A,B] [--own NAMESPACE/NAME=ADDRESS]
                     [--trace ADDRESS:PORT/PROTOCOL,..]
       watcher sweep --left MODE --now MODE --drain SECONDS --wait SECONDS --serving AT [--gone AT]
                     [--exclude-cidrs A,B]
AT: where a kube-proxy answers, METRICS,HEALTHZ, each ADDRESS:PORT`;

export type Command =
  | { command: 'help' }
  | { command: 'watch'; targetsFile: string; options: Omit<WatchOptions, 'targets'> }
  | { command: 'sweep'; options: SweepOptions };

const OPTIONS: Record<string, readonly string[]> = {
  watch: ['node', 'vantage', 'targets', 'main', 'warm', 'addresses', 'own', 'trace'],
  sweep: ['left', 'now', 'drain', 'wait', 'serving', 'gone', 'exclude-cidrs'],
};

/** Throws ProxyctlError with exit code 64 and one line that says what is wrong. */
export function parseArguments(argv: readonly string[]): Command {
  const [command = '', ...rest] = argv;
  if (command === '--help' || rest.includes('--help')) return { command: 'help' };
  const names = OPTIONS[command];
  if (names === undefined) throw wrong(`unknown command "${command}", there are watch and sweep`);
  const given = new Given(rest, names);
  if (command === 'watch') {
    const text = given.text('vantage');
    const vantage = VANTAGES.find(v => v === text);
    if (vantage === undefined) throw wrong('--vantage is host or pod');
    const options = {
      node: given.text('node'),
      vantage,
      main: given.proxy('main'),
      warm: given.proxy('warm'),
      addresses: given.addresses('addresses'),
      ...(given.has('own') ? { own: given.own('own') } : {}),
      ...(given.has('trace') ? { trace: given.keys('trace') } : {}),
    };
    return { command: 'watch', targetsFile: given.text('targets'), options };
  }
  return {
    command: 'sweep',
    options: {
      left: given.mode('left'),
      now: given.mode('now'),
      drainSeconds: given.seconds('drain'),
      waitSeconds: given.seconds('wait'),
      serving: given.proxy('serving'),
      ...(given.has('gone') ? { gone: given.proxy('gone') } : {}),
      excludeCIDRs: given.cidrs('exclude-cidrs'),
    },
  };
}

class Given {
  private readonly values: { readonly [name: string]: string | boolean | undefined };

  constructor(args: readonly string[], names: readonly string[]) {
    const options = Object.fromEntries(names.map(name => [name, { type: 'string' as const }]));
    try {
      this.values = parseArgs({ args: [...args], options, strict: true }).values;
    } catch (error) {
      throw wrong(error instanceof Error ? error.message : String(error));
    }
  }

  has(name: string): boolean {
    return this.values[name] !== undefined;
  }

  text(name: string): string {
    const value = this.values[name];
    if (typeof value !== 'string' || value === '') throw wrong(`--${name} is missing`);
    return value;
  }

  mode(name: string): Mode {
    const value = this.text(name);
    if (!isMode(value)) throw wrong(`--${name} is one of ${MODES.join(', ')}`);
    return value;
  }

  seconds(name: string): number {
    const value = this.text(name);
    if (!/^\d+(\.\d+)?$/.test(value)) throw wrong(`--${name} is a number of seconds`);
    return Number(value);
  }

  proxy(name: string): ProxyAddresses {
    const [metrics, healthz, more] = this.text(name).split(',').map(readHostPort);
    if (!metrics || !healthz || more) throw wrong(`--${name} is METRICS,HEALTHZ, each ADDRESS:PORT`);
    return { metrics, healthz };
  }

  addresses(name: string): string[] {
    const value = this.values[name];
    if (typeof value !== 'string' || value === '') return [];
    const wrongs = value.split(',').filter(address => isIP(address) === 0);
    if (wrongs.length > 0) throw wrong(`--${name}: "${wrongs[0]}" is no address`);
    return value.split(',');
  }

  own(name: string): OwnService {
    const [, service, address] = /^([^/=]+\/[^/=]+)=(.+)$/.exec(this.text(name)) ?? [];
    if (service === undefined || address === undefined || isIP(address) === 0)
      throw wrong(`--${name} is NAMESPACE/NAME=ADDRESS`);
    return { name: service, address };
  }

  keys(name: string): string[] {
    const keys = this.text(name).split(',');
    for (const key of keys) if (!readKey(key)) throw wrong(`--${name}: "${key}" is no ADDRESS:PORT/PROTOCOL`);
    return keys;
  }

  cidrs(name: string): string[] {
    const value = this.values[name];
    if (typeof value !== 'string') return [];
    const cidrs = value.split(',');
    for (const cidr of cidrs) {
      const [address = '', length = '', rest] = cidr.split('/');
      const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
      if (rest !== undefined || !/^\d{1,3}$/.test(length) || Number(length) > longest)
        throw wrong(`--${name}: "${cidr}" is no CIDR`);
    }
    return cidrs;
  }
}

function wrong(message: string): ProxyctlError {
  return new ProxyctlError(message.split('\n')[0] ?? message, EXIT.usage);
}
