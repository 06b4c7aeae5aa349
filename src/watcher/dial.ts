// Real connections.
import { createSocket } from 'node:dgram';
import { connect, createServer, isIPv6 } from 'node:net';
import type { Dial, Reply } from '../core/node-io.ts';
import type { Outcome } from '../core/observation.ts';

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
export function dial(to: Dial, timeoutMs: number): Promise<Reply> {
  return to.protocol === 'UDP' ? ask(to, timeoutMs) : knock(to, timeoutMs);
}

/** The outcome that an error stands for; throws it when it is none of the target's. */
function outcomeOf(error: NodeJS.ErrnoException): Reply {
  const outcome = OUTCOMES[error.code ?? ''];
  if (outcome === undefined) throw error;
  return { outcome };
}

/** Calls `late` after `ms`, but not before what has come in meanwhile was handled: parsing a dump may have held up the loop. */
function deadline(ms: number, late: () => void): NodeJS.Timeout {
  return setTimeout(() => setImmediate(late), ms);
}

function knock({ address, port, question, answerBytes = 0 }: Dial, timeoutMs: number): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    let answer = Buffer.alloc(0);
    const end = (reply: () => Reply) => {
      clearTimeout(timer);
      // Node resets a connection only once it stands: what was not answered would go on trying for two minutes.
      if (socket.connecting) socket.destroy();
      // A reset leaves no TIME_WAIT behind, here or in conntrack.
      else socket.resetAndDestroy();
      try {
        resolve(reply());
      } catch (error) {
        reject(error);
      }
    };
    const timer = deadline(timeoutMs, () => end(() => ({ outcome: 'timeout' })));
    socket.once('connect', () => {
      if (answerBytes === 0) end(() => ({ outcome: 'ok' }));
      else if (question) socket.write(question);
    });
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length >= answerBytes) end(() => ({ outcome: 'ok', answer }));
    });
    socket.once('end', () => end(() => ({ outcome: 'reset' })));
    socket.on('error', error => end(() => outcomeOf(error)));
  });
}

function ask({ address, port, question = new Uint8Array() }: Dial, timeoutMs: number): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let over = false;
    const end = (reply: () => Reply) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.close();
      try {
        resolve(reply());
      } catch (error) {
        reject(error);
      }
    };
    const timer = deadline(timeoutMs, () => end(() => ({ outcome: 'no answer' })));
    socket.once('message', answer => end(() => ({ outcome: 'ok', answer })));
    socket.on('error', error => end(() => outcomeOf(error)));
    // Connected, so that a refusal (ICMP) comes back as an error.
    const send = () => {
      if (!over) socket.send(question);
    };
    // Twice, as resolvers do: one lost datagram says nothing about a Service.
    const again = setTimeout(send, timeoutMs / 2);
    socket.once('close', () => clearTimeout(again));
    // Not as its callback, which is called for a failure, too: there may be no way to the address.
    socket.once('connect', send);
    socket.connect(port, address);
  });
}

/** Answers every connection with `text` until the process ends. */
export function echo(address: string, port: number, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => {
      // The dialler resets once it has read.
      socket.on('error', () => socket.destroy());
      socket.end(text);
    });
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
}
