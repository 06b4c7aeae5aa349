# The image of watchers and sweepers: `npm run build`, then `docker build -t proxyctl/watcher:v<version> .`
FROM node:24-bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends nftables iptables ipset ipvsadm conntrack iproute2 \
    && rm -rf /var/lib/apt/lists/*
COPY dist/watcher.js /watcher.js
# A small young generation: large rule sets are garbage as soon as they are read (docs/performance.md).
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=4", "/watcher.js"]
