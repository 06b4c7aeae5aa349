// A kube-proxy process, in the order of the real one: cleanup first, checks later, rules last.
import { hasIptables, platformCleanup, type Toolbox } from './cleanup.ts';
import { GIT_VERSION } from './discovery.ts';
import { Kernel } from './kernel.ts';
import { klog } from './klog.ts';
import { Proxier } from './proxier.ts';
import { type ProxyConfig, readConfig, toolboxOf } from './proxy-config.ts';
import { aborted } from './timers.ts';
import type { Program } from './world.ts';

/** When in the start-up the checks come, and when the first sync. */
const CHECKS_AT = 0.4;

export const runKubeProxy: Program = async (run, world) => {
  const log = (level: 'I' | 'W' | 'E', place: string, message: string) => run.log(klog(level, place, message));
  let config: ProxyConfig;
  try {
    config = readConfig(run);
  } catch (error) {
    log('E', 'run.go:72', `"command failed" err="${error instanceof Error ? error.message : String(error)}"`);
    return 1;
  }
  const { node, signal } = run;
  const { speed, timers, faults } = world;
  const has = toolboxOf(run, tool => tool === 'nft' && faults.lacksNft(node.name));
  // Outside the host's network namespace it only plays with itself.
  const kernel = run.hostNetwork ? node.kernel : new Kernel(node.addresses, world.random);
  log('I', 'server.go:236', `"Version info" version="${GIT_VERSION}"`);
  platformCleanup(kernel, config.mode, has);
  if (!(await timers.wait(speed.proxyStart * CHECKS_AT, signal))) return 143;
  kernel.conntrack.max = config.conntrackMax;
  if (!config.modeGiven) log('I', 'server_linux.go:63', '"Using iptables proxy"');
  log('I', 'server_linux.go:139', `"Using ${config.mode} Proxier"`);
  const trouble = unsupported(config, has) ?? (faults.crashes(config.mode, node.name) ? 'simulated crash' : undefined);
  if (trouble !== undefined) {
    log('E', 'server.go:137', `"Error running ProxyServer" err="${trouble}"`);
    log('E', 'run.go:72', `"command failed" err="${trouble}"`);
    return 1;
  }
  const proxier = new Proxier({ run, world, config, kernel });
  try {
    proxier.listen();
    if (!(await timers.wait(speed.proxyStart * (1 - CHECKS_AT), signal))) return 143;
    log('I', 'shared_informer.go:356', '"Caches are synced" controller="service config"');
    proxier.start();
    await aborted(signal);
    return 143;
  } finally {
    // Killed at once: the rules stay.
    proxier.close();
  }
};

function unsupported({ mode }: ProxyConfig, has: Toolbox): string | undefined {
  if (mode === 'nftables')
    return has('nft')
      ? undefined
      : 'unable to create proxier: can\'t use nftables proxier: could not run nftables command: exec: \\"nft\\": executable file not found in $PATH';
  if (!hasIptables(has)) return 'no iptables support for family IPv4';
  return mode === 'ipvs' && !has('ipset') ? "can't use the IPVS proxier: error getting ipset version" : undefined;
}
