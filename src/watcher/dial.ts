// Real connections to a target.
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { Outcome, ProbeTarget } from '../core/observation.ts';

const OUTCOMES: Readonly<Record<string, Outcome>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  // A filter that rejects what this host itself sends.
  EACCES: 'unreachable',
  EPERM: 'unreachable',
};

/** One new connection. Rejects with errors that are this side's own (no free port, no free file). */
export function dial(target: ProbeTarget, timeoutMs: number): Promise<Outcome> {
  return target.protocol === 'UDP' ? ask(target, timeoutMs) : knock(target, timeoutMs);
}

/** The outcome that an error stands for; throws it when it is none of the target's. */
function outcomeOf(error: NodeJS.ErrnoException): Outcome {
  const outcome = OUTCOMES[error.code ?? ''];
  if (outcome === undefined) throw error;
  return outcome;
}

/** Calls `late` after `ms`, but not before what has come in meanwhile was handled: parsing a dump may have held up the loop. */
function deadline(ms: number, late: () => void): NodeJS.Timeout {
  return setTimeout(() => setImmediate(late), ms);
}

function knock({ address, port }: ProbeTarget, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    const end = (outcome: () => Outcome) => {
      clearTimeout(timer);
      // A reset leaves no TIME_WAIT behind, here or in conntrack.
      socket.resetAndDestroy();
      try {
        resolve(outcome());
      } catch (error) {
        reject(error);
      }
    };
    const timer = deadline(timeoutMs, () => end(() => 'timeout'));
    socket.once('connect', () => end(() => 'ok'));
    socket.on('error', error => end(() => outcomeOf(error)));
  });
}

/** A UDP port answers by its own protocol only: DNS on 53, elsewhere what Kubernetes' test servers understand. */
function ask({ address, port }: ProbeTarget, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let over = false;
    const end = (outcome: () => Outcome) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.close();
      try {
        resolve(outcome());
      } catch (error) {
        reject(error);
      }
    };
    const timer = deadline(timeoutMs, () => end(() => 'no answer'));
    socket.once('message', () => end(() => 'ok'));
    socket.on('error', error => end(() => outcomeOf(error)));
    // Connected, so that a refusal (ICMP) comes back as an error.
    const ask = () => {
      if (!over) socket.send(port === 53 ? dnsQuestion() : 'hostname');
    };
    // Twice, as resolvers do: one lost datagram says nothing about a Service.
    const again = setTimeout(ask, timeoutMs / 2);
    socket.once('close', () => clearTimeout(again));
    socket.connect(port, address, ask);
  });
}

const DNS_NAME = 'kubernetes.default.svc.cluster.local';

/** A query for the A record of DNS_NAME (RFC 1035, section 4). */
export function dnsQuestion(id = Math.floor(Math.random() * 0x10000)): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  // Recursion desired; one question.
  header.writeUInt16BE(0x0100, 2);
  header.writeUInt16BE(1, 4);
  const labels = DNS_NAME.split('.').map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  // End of the name, type A, class IN.
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}
