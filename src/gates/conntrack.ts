import { inconclusive, nodeInFlip, silence } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';

/** So many packets dropped since the baseline are an incident, fewer are worth a word. */
const MANY_DROPS = 100;

/** A full connection table drops new connections whatever the rules say, and a restarted kube-proxy sets its size anew. */
export const conntrack = defineGate({
  id: 'conntrack',
  title: 'The connection table has room and loses nothing',
  hint: 'kube-proxy sets the size at each start: the larger of conntrack.maxPerCore x cores and conntrack.min',
  moments: ['before-node', 'after-node'],
  observe(look) {
    const node = nodeInFlip(look);
    const first = node.baseline.conntrack?.first ?? node.view.conntrack?.first;
    return { first, before: node.baseline.conntrack?.last, now: node.view.conntrack?.last };
  },
  judge({ first, before, now }, look) {
    const node = nodeInFlip(look);
    const subject = `node ${node.name}`;
    const silent = silence(node, 'host');
    if (silent) return { findings: [silent], summary: '' };
    if (!now || !first || now.max <= 0)
      return { findings: [inconclusive(node.name, 'the connection table has not been read')], summary: '' };
    const share = now.count / now.max;
    const { warn, fail } = look.playbook.gates.conntrack;
    const findings: Finding[] = [];
    if (share >= warn) {
      const level = share >= fail ? 'error' : 'warning';
      const message = `${now.count} of ${now.max} connections are tracked (${percent(share)}; the limit is ${percent(fail)})`;
      findings.push({ level, subject, message, fix: advice(now.count) });
    }
    if (before && now.max < before.max) {
      const message = `the table shrank from ${before.max} to ${now.max} connections`;
      findings.push({ level: 'error', subject, message, fix: advice(Math.ceil(before.max / 2)) });
    }
    const dropped = now.drop - first.drop;
    if (dropped > 0) {
      const level = dropped > MANY_DROPS ? 'error' : 'warning';
      findings.push({
        level,
        subject,
        message: `${dropped} packets were dropped for want of room`,
        fix: advice(now.count),
      });
    }
    const counters = [
      ['connections were evicted early', now.earlyDrop - first.earlyDrop],
      ['connections could not be inserted', now.insertFailed - first.insertFailed],
    ] as const;
    for (const [what, grown] of counters) {
      if (grown > 0) findings.push({ level: 'warning', subject, message: `${grown} ${what} since the baseline` });
    }
    return { findings, summary: `${percent(share)} of ${now.max} connections in use` };
  },
});

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A size that this many connections fill to half. kube-proxy only ever sets it at its start, so both are named. */
function advice(connections: number): string {
  const size = Math.max(131_072, Math.ceil((connections * 2) / 65_536) * 65_536);
  return `sysctl -w net.netfilter.nf_conntrack_max=${size}, and conntrack.min: ${size} in the kube-proxy configuration so that its next start keeps it`;
}
