# The image of watchers and sweepers: `npm run build`, then `docker build -t proxyctl/watcher:v<version> .`
FROM node:24-bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends nftables iptables ipset ipvsadm conntrack iproute2 \
    && rm -rf /var/lib/apt/lists/*
COPY dist/watcher.js /watcher.js
# A small young generation and a heap that grows little: a look at a large rule set is garbage at the next (docs/performance.md).
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=4", "--heap-growing-percent=50", "/watcher.js"]
