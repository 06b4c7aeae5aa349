import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { ProbeTarget } from '../../src/core/observation.ts';
import { dial, dnsQuestion } from '../../src/watcher/dial.ts';

const open: (Server | Socket)[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});
const target = (port: number, protocol: 'TCP' | 'UDP', address = '127.0.0.1'): ProbeTarget => ({
  id: `a/b:${port}/${protocol}`,
  address,
  port,
  protocol,
  endpoints: true,
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
    expect(await dial(target(await tcpServer(), 'TCP'), 1000)).toBe('ok');
  });

  it('is refused where nobody listens', async () => {
    const port = await tcpServer();
    for (const one of open.splice(0)) await new Promise<void>(resolve => one.close(() => resolve()));
    expect(await dial(target(port, 'TCP'), 1000)).toBe('refused');
  });

  it('does not take a late look for a late answer', async () => {
    const port = await tcpServer();
    const dialled = dial(target(port, 'TCP'), 5);
    // Parsing a dump can hold up the loop for longer than the timeout.
    for (const end = performance.now() + 50; performance.now() < end; );
    expect(await dialled).toBe('ok');
  });

  it('throws what is only this side can be blamed for', async () => {
    await expect(dial(target(70_000, 'TCP'), 100)).rejects.toThrow();
  });
});

describe('a UDP dial', () => {
  it('is ok with any answer', async () => {
    const { port, questions } = await udpServer('node1');
    expect(await dial(target(port, 'UDP'), 1000)).toBe('ok');
    expect(questions).toEqual(['hostname']);
  });

  it('is no answer when nothing comes back', async () => {
    expect(await dial(target((await udpServer(undefined)).port, 'UDP'), 30)).toBe('no answer');
  });

  it('is refused where nobody listens', async () => {
    const { port } = await udpServer('x');
    for (const one of open.splice(0)) await new Promise<void>(resolve => one.close(() => resolve()));
    expect(await dial(target(port, 'UDP'), 1000)).toBe('refused');
  });

  it('asks DNS for the address of the API', () => {
    const question = dnsQuestion(0x1234);
    expect(question.subarray(0, 6).toString('hex')).toBe('123401000001');
    expect(question.subarray(12).toString('latin1')).toBe(
      '\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01',
    );
  });
});
