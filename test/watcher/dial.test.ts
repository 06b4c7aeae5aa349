import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type { Dial } from '../../src/core/node-io.ts';
import { dial, echo } from '../../src/watcher/dial.ts';

const open: (Server | Socket)[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});
const target = (port: number, protocol: 'TCP' | 'UDP', more: Partial<Dial> = {}): Dial => ({
  address: '127.0.0.1',
  port,
  protocol,
  ...(protocol === 'UDP' ? { question: Buffer.from('hostname') } : {}),
  ...more,
});

async function tcpServer(onConnection: (destroy: () => void) => void = () => undefined): Promise<number> {
  const server = createServer(socket => {
    socket.on('error', () => socket.destroy());
    onConnection(() => socket.resetAndDestroy());
  });
  open.push(server);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

/** Accepts nobody: once its backlog is full, what dials it hears nothing, as from a Service without rules. */
async function deafServer(): Promise<{ port: number; end: () => Promise<unknown> }> {
  const listens = `
    const { parentPort } = require('node:worker_threads');
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
    });`;
  const worker = new Worker(listens, { eval: true });
  const port = await new Promise<number>(resolve => worker.once('message', resolve));
  return { port, end: () => worker.terminate() };
}

const sockets = () => process.getActiveResourcesInfo().filter(name => name === 'TCPSocketWrap').length;

async function udpServer(answer: string | undefined): Promise<{ port: number; questions: string[] }> {
  const socket = createSocket('udp4');
  const questions: string[] = [];
  open.push(socket);
  socket.on('message', (message, { port, address }) => {
    questions.push(message.toString('latin1'));
    if (answer !== undefined) socket.send(answer, port, address);
  });
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, questions };
}

describe('a TCP dial', () => {
  it('is ok when the connection stands', async () => {
    expect((await dial(target(await tcpServer(), 'TCP'), 1000)).outcome).toBe('ok');
  });

  it('is refused where nobody listens', async () => {
    const port = await tcpServer();
    for (const one of open.splice(0)) await new Promise<void>(resolve => one.close(() => resolve()));
    expect((await dial(target(port, 'TCP'), 1000)).outcome).toBe('refused');
  });

  it('does not take a late look for a late answer', async () => {
    const port = await tcpServer();
    const dialled = dial(target(port, 'TCP'), 5);
    // Parsing a dump can hold up the loop for longer than the timeout.
    for (const end = performance.now() + 50; performance.now() < end; );
    expect(await dialled).toEqual({ outcome: 'ok' });
  });

  it('keeps no socket where nothing answers: the kernel would go on trying for two minutes', async () => {
    const { port, end } = await deafServer();
    const dialled = async () => (await dial(target(port, 'TCP'), 200)).outcome;
    const before = sockets();
    for (let tries = 0; tries < 10 && (await dialled()) === 'ok'; tries++);
    expect(await Promise.all([dialled(), dialled()])).toEqual(['timeout', 'timeout']);
    await expect.poll(sockets, { timeout: 1000 }).toBe(before);
    await end();
  });

  it('waits for the bytes of an answer, in as many parts as they come', async () => {
    const server = createServer(socket => {
      socket.once('data', question => {
        socket.write(`${question.toString('latin1')}-`);
        setTimeout(() => socket.write('answer'), 20);
      });
      socket.on('error', () => socket.destroy());
    });
    open.push(server);
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const asked = { question: Buffer.from('who'), answerBytes: 10 };
    const { outcome, answer } = await dial(target(port, 'TCP', asked), 1000);
    expect([outcome, Buffer.from(answer ?? []).toString()]).toEqual(['ok', 'who-answer']);
    expect((await dial(target(port, 'TCP', { ...asked, answerBytes: 11 }), 100)).outcome).toBe('timeout');
  });

  it('is a reset when the other side ends before it has answered', async () => {
    const port = await tcpServer(destroy => destroy());
    expect((await dial(target(port, 'TCP', { answerBytes: 1 }), 1000)).outcome).toBe('reset');
  });

  it('reads what an echo says', async () => {
    const port = await tcpServer();
    for (const one of open.splice(0)) await new Promise<void>(resolve => one.close(() => resolve()));
    await echo('127.0.0.1', port, 'me\n');
    const { answer } = await dial(target(port, 'TCP', { answerBytes: 1 }), 1000);
    expect(Buffer.from(answer ?? []).toString()).toBe('me\n');
    await expect(echo('127.0.0.1', port, 'you')).rejects.toThrow('EADDRINUSE');
  });

  it('throws what is only this side can be blamed for', async () => {
    await expect(dial(target(70_000, 'TCP'), 100)).rejects.toThrow();
  });
});

describe('a UDP dial', () => {
  it('is ok with any answer', async () => {
    const { port, questions } = await udpServer('node1');
    expect((await dial(target(port, 'UDP'), 1000)).outcome).toBe('ok');
    expect(questions).toEqual(['hostname']);
  });

  // The broadcast address, which no socket may reach unasked, stands for any without a route.
  it('is unreachable where no way leads, and nothing else ends by it', async () => {
    expect((await dial(target(53, 'UDP', { address: '255.255.255.255' }), 1000)).outcome).toBe('unreachable');
  });

  it('is no answer when nothing comes back', async () => {
    expect((await dial(target((await udpServer(undefined)).port, 'UDP'), 30)).outcome).toBe('no answer');
  });

  it('is refused where nobody listens', async () => {
    const { port } = await udpServer('x');
    for (const one of open.splice(0)) await new Promise<void>(resolve => one.close(() => resolve()));
    expect((await dial(target(port, 'UDP'), 1000)).outcome).toBe('refused');
  });
});
