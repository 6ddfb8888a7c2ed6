# syntax=docker/dockerfile:1

FROM node:22-bookworm-slim AS web
WORKDIR /build/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY schema.graphql ../
COPY web ./
RUN npm run build

FROM rust:1.95-bookworm AS binary
WORKDIR /build
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches/rig benches/rig
COPY crates crates
COPY entity entity
COPY migration migration
COPY src src
# What `cargo build` embeds in the binary.
COPY --from=web /build/web/dist web/dist
# The caches are not part of the layer, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin intuned-gateway \
    && cp target/release/intuned-gateway /usr/local/bin/

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /app gateway \
    && install -d -o gateway -g gateway /app/data
COPY --from=binary /usr/local/bin/intuned-gateway /usr/local/bin/
WORKDIR /app
USER gateway
ENV LISTEN_ADDR=0.0.0.0:8080
EXPOSE 8080
# Where SQLite keeps its file, when no DATABASE_URL says otherwise, and a demo its secret.
VOLUME /app/data
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health/ready HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["intuned-gateway"]
CMD ["serve"]
