// Requests to servers outside the cluster, with Node's own client: one connection each, no redirection, bounded answers.
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { OutsideAnswer, OutsideRequest } from '../core/outside.ts';

const MOST_BYTES = 4 * 1024 * 1024;
const LONGEST_TOKEN = 16_384;

export type Env = Readonly<Record<string, string | undefined>>;

/** Rejects with an Error in words; none of them holds the token, nor what stands behind the `?` of the address. */
export async function askOutside(request: OutsideRequest, env: Env, signal: AbortSignal): Promise<OutsideAnswer> {
  const { method, caFile, seconds } = request;
  const url = new URL(request.url);
  const token = await tokenOf(request, env);
  const ca = caFile === undefined ? undefined : await readText(caFile);
  const body = request.body === undefined ? undefined : JSON.stringify(request.body);
  const late = AbortSignal.timeout(seconds * 1000);
  const options: RequestOptions & { ca?: string } = {
    method,
    agent: false,
    signal: AbortSignal.any([signal, late]),
    headers: {
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(ca === undefined ? {} : { ca }),
  };
  try {
    return await exchange(url, options, body);
  } catch (error) {
    signal.throwIfAborted();
    const why = late.aborted ? `no answer within ${seconds} s` : messageOf(error);
    throw new Error(`${url.origin}${url.pathname}: ${why}`, { cause: error });
  }
}

function exchange(url: URL, options: RequestOptions, body: string | undefined): Promise<OutsideAnswer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(url, options, response => {
      readBody(response).then(text => resolve({ status: response.statusCode ?? 0, body: text }), reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new Error(`the answer is longer than ${MOST_BYTES / 1024 / 1024} MB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function tokenOf({ tokenEnv, tokenFile }: OutsideRequest, env: Env): Promise<string | undefined> {
  if (tokenEnv !== undefined) return checked(env[tokenEnv] ?? '', `environment variable ${tokenEnv}`);
  return tokenFile === undefined ? undefined : checked(await readText(tokenFile), tokenFile);
}

/** Anything but a token (a key, a kubeconfig) is not sent anywhere. */
function checked(text: string, where: string): string {
  const token = text.trim();
  if (token === '') throw new Error(`${where} holds no token`);
  if (token.length > LONGEST_TOKEN || !/^[\x21-\x7e]+$/.test(token)) throw new Error(`${where} holds what is no token`);
  return token;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Error(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}
