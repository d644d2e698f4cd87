# One image for all services and jobs; the first argument chooses which script runs. Node runs the
# TypeScript sources as they are, so there is nothing to compile.

FROM node:24-bookworm-slim AS manifests
WORKDIR /app
COPY . .
# What the packages' installation depends on, and nothing else, so that an edit of the code doesn't
# install them again.
RUN find . -type f ! -name package.json ! -name package-lock.json -delete && find . -type d -empty -delete

FROM node:24-bookworm-slim AS packages
WORKDIR /app
# Both optional: another npm registry, and the certificate (PEM text) of a proxy that npm must trust.
ARG NPM_REGISTRY=
ARG EXTRA_CA_CERT=
COPY --from=manifests /app ./
# No install scripts: what the services need comes ready-built in the packages. Only the services'
# dependencies, so neither the npm package `node` nor the test kit is among them.
RUN set -eu; \
    if [ -n "$EXTRA_CA_CERT" ]; then \
      printf '%s\n' "$EXTRA_CA_CERT" >/tmp/ca.pem; export NODE_EXTRA_CA_CERTS=/tmp/ca.pem; \
    fi; \
    if [ -n "$NPM_REGISTRY" ]; then export npm_config_registry="$NPM_REGISTRY"; fi; \
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
      --workspace=services/freeside --workspace=services/finn --workspace=services/controller \
      --workspace=services/gonogo; \
    rm -rf node_modules/node node_modules/.bin/node /root/.npm /tmp/ca.pem; \
    find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="arrakis" \
      org.opencontainers.image.description="Metered AI agents for NFT communities: freeside, finn, their controller and their jobs" \
      org.opencontainers.image.licenses="Apache-2.0"
ARG VERSION=dev
LABEL org.opencontainers.image.version="$VERSION"
# Nothing installs packages in a running container.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
      /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn* \
    && install -d -o 1000 -g 1000 -m 0750 /var/lib/arrakis \
    && for d in keys spool demo config; do install -d -o 1000 -g 1000 -m 0700 "/var/lib/arrakis/$d"; done \
    && install -d -m 0755 /var/lib/arrakis/models
WORKDIR /app
COPY --from=packages /app ./
COPY package.json ./
COPY packages packages
COPY services services
COPY migrations migrations
COPY scripts scripts
COPY loadtest/k6 loadtest/k6
ENV NODE_ENV=production \
    FREESIDE_HOST=0.0.0.0 FREESIDE_ADMIN_HOST=0.0.0.0 \
    FINN_HOST=0.0.0.0 FINN_ADMIN_HOST=0.0.0.0 \
    S2S_KEY_STORE_DIR=/var/lib/arrakis/keys \
    FINN_SPOOL_DIR=/var/lib/arrakis/spool \
    FINN_POOLS_FILE=/var/lib/arrakis/config/pools.json \
    MODEL_DIR=/var/lib/arrakis/models
USER 1000:1000
EXPOSE 3000 3001 9300 9301 9302 9303
STOPSIGNAL SIGTERM
ENTRYPOINT ["node"]
CMD ["services/freeside/src/main.ts", "api"]
