# The daemon alone: it is pointed at a PostgreSQL by DATABASE_URL (see compose.yaml).

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the build; the binary has to be taken out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && install -D target/release/mailwright /out/mailwright

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 1525 --home-dir /var/lib/mailwright --create-home mailwright
COPY --from=build /out/mailwright /usr/local/bin/mailwright
USER mailwright
ENV MAILWRIGHT_DATA_DIR=/var/lib/mailwright
# Container engines let any user bind these (net.ipv4.ip_unprivileged_port_start is 0 in a container).
EXPOSE 25 465 587 110 995 143 993 80 443 7328
STOPSIGNAL SIGTERM
ENTRYPOINT ["mailwright"]
CMD ["serve"]
