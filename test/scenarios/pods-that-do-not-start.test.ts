// What becomes of a run when a pod that it waits for will not start: said at once, given up soon, and the node serves on.
import { describe, expect, it } from 'vitest';
import { modeLabel } from '../../src/core/run-state.ts';
import { type Bed, withBed } from '../crash/bed.ts';
import { expectMode } from '../crash/sweep.ts';

const TIMEOUT = 120_000;
/** So patient that only who sees what is wrong can be early. */
const PLAYBOOK = 'gates: { soak: 1s, settle: 3s, convergence: 600s, drain: 3s }\n';
const OPTIONS = { mode: 'iptables', to: 'nftables', seed: 61, playbook: PLAYBOOK } as const;

async function halted(bed: Bed): Promise<{ said: string; seconds: number }> {
  const process = bed.process('halted');
  const began = bed.time.elapsed;
  const code = await bed.run(process, 'migrate');
  expect(code, process.output).toBe(21);
  expect(process.output).toMatch(/migrate to nftables of \S+: halted/);
  return { said: process.output.replaceAll(/\s+/g, ' '), seconds: (bed.time.elapsed - began) / 1000 };
}

async function ended(bed: Bed, action: 'migrate' | 'rollback'): Promise<void> {
  const process = bed.process(action);
  expect(await bed.run(process, action), process.output).toBe(0);
  expectMode(bed, action === 'migrate' ? 'nftables' : 'iptables');
}

function imagesOf({ sim }: Bed, like: RegExp): string[] {
  const all = sim.store.list('Pod').flatMap(p => p.spec.containers.map((c: { image: string }) => c.image));
  return [...new Set<string>(all)].filter(image => like.test(image));
}

describe('a pod that will not start', () => {
  it('the warm kube-proxy, for want of its image: called off, nothing touched', { timeout: TIMEOUT }, () =>
    withBed(OPTIONS, async bed => {
      const [image = ''] = imagesOf(bed, /kube-proxy/);
      bed.sim.fault.missingImages.add(image);
      const { said, seconds } = await halted(bed);
      expect(said).toMatch(
        /waits for the warm kube-proxy on \S+ to start: pod kube-system\/proxyctl-warm-\S+: (ErrImagePull|ImagePullBackOff)/,
      );
      expect(said).toMatch(/reason gave up waiting for the warm kube-proxy on \S+ to start: pod \S+ ImagePullBackOff/);
      expect(seconds).toBeLessThan(120);
      expectMode(bed, 'iptables');
      bed.sim.fault.missingImages.delete(image);
      await ended(bed, 'migrate');
    }),
  );

  it('the watchers, for want of their image: nothing begun', { timeout: TIMEOUT }, () =>
    withBed(OPTIONS, async bed => {
      const stop = bed.sim.store.subscribe(({ object, kind }) => {
        for (const c of kind === 'Pod' ? object.spec.containers : [])
          if (/watcher/.test(c.image)) bed.sim.fault.missingImages.add(c.image);
      });
      const { said, seconds } = await halted(bed);
      expect(said).toMatch(
        /reason gave up waiting for the watchers on \S+: pod proxyctl\/watch-(host|pod)-\S+ ErrImageNeverPull; load the archive of 'npm run image' on each node, .* --watcher-image/,
      );
      expect(seconds).toBeLessThan(60);
      expect(bed.sim.store.list('Node').map(modeLabel)).toEqual([undefined, undefined]);
      stop();
      bed.sim.fault.missingImages.clear();
      await ended(bed, 'migrate');
    }),
  );

  it('the warm kube-proxy, which crashes: called off', { timeout: TIMEOUT }, () =>
    withBed(OPTIONS, async bed => {
      const clear = bed.sim.fault.crashLoop('nftables');
      const { said, seconds } = await halted(bed);
      expect(said).toMatch(/proxyctl-warm-\S+: CrashLoopBackOff, \d+ restarts/);
      expect(seconds).toBeLessThan(150);
      expectMode(bed, 'iptables');
      clear();
      await ended(bed, 'migrate');
    }),
  );

  it("the mode's own, which crashes: back", { timeout: TIMEOUT }, () =>
    withBed(OPTIONS, async bed => {
      let clear = () => {};
      bed.sim.store.subscribe(({ kind, object }) => {
        if (kind === 'Node' && modeLabel(object) === 'nftables') clear = bed.sim.fault.crashLoop('nftables');
      });
      const { said, seconds } = await halted(bed);
      expect(said).toMatch(/kube-proxy-nftables-\S+: (CrashLoopBackOff|its container ended)/);
      expect(seconds).toBeLessThan(200);
      clear();
      expectMode(bed, 'iptables');
    }),
  );

  it('both, for want of their image: the node serves on with the rules that it has', { timeout: TIMEOUT }, () =>
    withBed(OPTIONS, async bed => {
      const [image = ''] = imagesOf(bed, /kube-proxy/);
      const stop = bed.sim.store.subscribe(({ kind, object }) => {
        if (kind === 'Node' && modeLabel(object) === 'none') bed.sim.fault.missingImages.add(image);
      });
      const { said, seconds } = await halted(bed);
      stop();
      expect(said).toContain('ImagePullBackOff');
      expect(seconds).toBeLessThan(240);
      bed.sim.fault.missingImages.clear();
      await ended(bed, 'rollback');
    }),
  );
});
