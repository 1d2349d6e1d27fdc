# Postern in a container. Wants the host's network, so that it sees the addresses of the devices:
#   docker run --network host -v /etc/postern:/etc/postern:ro -v postern:/var/lib/postern postern
# syntax: plain Dockerfile, no build arguments, no secrets.

FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY scripts/prepare.js ./scripts/
COPY src ./src
RUN npm run build

FROM node:24-bookworm-slim
ENV NODE_ENV=production
# Memory that is free goes back to the system; the program would start itself anew to have these.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072
WORKDIR /opt/postern
COPY package.json package-lock.json ./
# The image has the right Node already: the optional one of the lock file stays out.
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force
COPY --from=build /build/dist ./dist
COPY bin ./bin
COPY config ./config
COPY LICENSE ./
RUN useradd --system --uid 10025 --home-dir /var/lib/postern --shell /usr/sbin/nologin postern \
  && install --directory --owner=postern --group=postern --mode=0750 /var/lib/postern \
  && install --directory /etc/postern
USER 10025
VOLUME /var/lib/postern
# SMTP, submission, monitoring. Ports under 1024 need net.ipv4.ip_unprivileged_port_start=0 or higher port numbers.
EXPOSE 25 587 8025
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8025/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/opt/postern/bin/postern"]
CMD ["run"]
