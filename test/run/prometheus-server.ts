// An HTTP server that speaks Prometheus' API: /api/v1/query, by what a test says a query gives.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A vector's values, a scalar, or a whole answer. */
export type Given = number[] | { scalar: string } | { status: number; body: unknown };

export interface PrometheusServer {
  readonly url: string;
  readonly queries: string[];
  readonly requests: Pick<IncomingMessage, 'method' | 'headers' | 'url'>[];
  close(): Promise<void>;
}

export async function prometheusServer(
  answer: (query: string) => Given,
  tls?: { key: string; cert: string },
): Promise<PrometheusServer> {
  const queries: string[] = [];
  const requests: PrometheusServer['requests'] = [];
  const listener: RequestListener = (request, response) => {
    const { method, headers, url = '' } = request;
    requests.push({ method, headers, url });
    const { pathname, searchParams } = new URL(url, 'http://here');
    const query = searchParams.get('query');
    const { status, body } =
      pathname !== '/prom/api/v1/query' || query === null
        ? { status: 404, body: '404 page not found' }
        : bodyOf(answer(query));
    if (query !== null) queries.push(query);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  const server: Server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/prom/`,
    queries,
    requests,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** As the server's documentation writes answers. */
function bodyOf(given: Given): { status: number; body: unknown } {
  if ('status' in given) return given;
  const at = 1_767_268_800.123;
  const data = Array.isArray(given)
    ? {
        resultType: 'vector',
        result: given.map((value, i) => ({ metric: { pod: `web-${i}` }, value: [at, text(value)] })),
      }
    : { resultType: 'scalar', result: [at, given.scalar] };
  return { status: 200, body: { status: 'success', data } };
}

function text(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}
