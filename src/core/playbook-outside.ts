// What a playbook asks of programs and servers outside the cluster.
import { z } from 'zod';
import { Duration } from './duration.ts';

/** Moments at which somebody outside can be asked. */
const ASKED_AT = ['before-node', 'prove', 'after-node', 'after-batch'] as const;
const moments = z.array(z.enum(ASKED_AT)).min(1);

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,59}$/, 'lower case letters, digits and hyphens, at most 60');

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

function parsed(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url && /^https?:$/.test(url.protocol) ? url : undefined;
}

const url = z
  .string()
  .refine(text => parsed(text) !== undefined, 'must be an http or https address')
  .refine(text => {
    const { username = '', password = '' } = parsed(text) ?? {};
    return username === '' && password === '';
  }, 'must not hold a user or a password: give a token with tokenEnv or tokenFile');

/** Where, and as whom. Secrets are read when they are needed, and stand in no plan, record or journal. */
const server = {
  /** Environment variable of this machine that holds a bearer token. */
  tokenEnv: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable')
    .optional(),
  /** File of this machine that holds a bearer token. */
  tokenFile: z.string().min(1).optional(),
  /** File of this machine with the certificates to trust, PEM, in place of the system's. */
  caFile: z.string().min(1).optional(),
};

interface Server {
  url?: string | undefined;
  tokenEnv?: string | undefined;
  tokenFile?: string | undefined;
  caFile?: string | undefined;
}

const oneToken = (given: Server) => given.tokenEnv === undefined || given.tokenFile === undefined;
const ONE_TOKEN = { error: 'tokenEnv and tokenFile: give one of them', path: ['tokenFile'] };

function tokenIsSafe(given: Server): boolean {
  if (given.tokenEnv === undefined && given.tokenFile === undefined) return true;
  const address = given.url === undefined ? undefined : parsed(given.url);
  return !address || address.protocol === 'https:' || LOOPBACK.test(address.hostname);
}
const SAFE_TOKEN = { error: 'a token is sent over https, or to this machine, only', path: ['url'] };

const limit = z.number();
const share = z.number().nonnegative();

const Query = z
  .strictObject({
    name,
    /** PromQL with one or more values as its result. `$node` is the node's name, `$mode` the mode that must serve. */
    query: z.string().min(1).max(10_000),
    /** No value may be above it. */
    max: limit.optional(),
    /** No value may be below it. */
    min: limit.optional(),
    /** How much more than before the node or the batch: 0.2 is a fifth more. */
    maxIncrease: share.optional(),
    /** How much more than the median of nodes that have not flipped yet, asked at the same moment; takes `$node`. */
    maxAboveOthers: share.optional(),
    /** Up to it a value is never too much in comparison. */
    ignoreBelow: limit.default(0),
    /** When it is asked; all moments at which it can be when not given. */
    moments: moments.optional(),
  })
  .refine(q => [q.max, q.min, q.maxIncrease, q.maxAboveOthers].some(l => l !== undefined), {
    error: 'needs one of max, min, maxIncrease and maxAboveOthers',
  })
  .refine(q => q.maxAboveOthers === undefined || asksForNode(q.query), {
    error: 'compares nodes, so the query must name $node',
    path: ['maxAboveOthers'],
  })
  .refine(q => !q.moments?.includes('after-batch') || !asksForNode(q.query), {
    error: 'after a batch there is no $node',
    path: ['moments'],
  });
export type PrometheusQuery = z.infer<typeof Query>;

/** Whether a query is about one node. */
export function asksForNode(query: string): boolean {
  return /\$node\b/.test(query);
}

export const PrometheusSchema = z
  .strictObject({
    /** Address of the server, with its path where it has one; `/api/v1/query` is added. */
    url,
    ...server,
    /** For one answer. */
    timeout: Duration.default(10),
    queries: z.array(Query).min(1).max(50),
  })
  .refine(oneToken, ONE_TOKEN)
  .refine(tokenIsSafe, SAFE_TOKEN)
  .refine(p => new Set(p.queries.map(q => q.name)).size === p.queries.length, {
    error: 'two queries have the same name',
    path: ['queries'],
  });
export type PrometheusSettings = z.infer<typeof PrometheusSchema>;

const Hook = z
  .strictObject({
    name,
    /** Program and arguments, run on this machine without a shell. */
    command: z.array(z.string()).min(1).max(100).optional(),
    /** Address that is sent a POST request in place of a command. */
    url: url.optional(),
    ...server,
    /** For the command, or the answer. */
    timeout: Duration.default(60),
    moments: moments.default(['after-node', 'after-batch']),
  })
  .refine(h => (h.command === undefined) !== (h.url === undefined), { error: 'needs either command or url' })
  .refine(h => h.url !== undefined || [h.tokenEnv, h.tokenFile, h.caFile].every(given => given === undefined), {
    error: 'tokenEnv, tokenFile and caFile belong to a url',
  })
  .refine(oneToken, ONE_TOKEN)
  .refine(tokenIsSafe, SAFE_TOKEN);
export type HookSettings = z.infer<typeof Hook>;

export const HooksSchema = z
  .array(Hook)
  .max(50)
  .refine(hooks => new Set(hooks.map(h => h.name)).size === hooks.length, { error: 'two hooks have the same name' });
