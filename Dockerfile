# The container image: the static program and root certificates, and nothing else.
# docs/install.md describes its use; `cargo xtask test static` runs it in a bare chroot.

# It runs on the building machine and compiles for the image's, so no emulation is needed.
FROM --platform=$BUILDPLATFORM rust:1-bookworm AS build
ARG TARGETARCH
RUN case "$TARGETARCH" in \
      amd64) architecture=x86_64 package=gcc-x86-64-linux-gnu ;; \
      arm64) architecture=aarch64 package=gcc-aarch64-linux-gnu ;; \
      *) echo "unsupported architecture: $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && if [ "$architecture" != "$(uname -m)" ]; then \
      apt-get update && apt-get install --yes --no-install-recommends "$package"; \
    fi \
    && rustup target add "$architecture-unknown-linux-musl" \
    && echo "$architecture-unknown-linux-musl" > /target
WORKDIR /source
COPY . .
RUN TARGET=$(cat /target) && cargo xtask release --target "$TARGET" --rootfs /rootfs && mkdir /state

FROM scratch
COPY --from=build /rootfs /
# The folder of --state-file. A new volume gets its owner.
COPY --from=build --chown=65532:65532 /state /var/lib/tunnel-balancer
USER 65532:65532
EXPOSE 8080
# SIGTERM drains requests in flight.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/tunnel-balancer", "healthcheck", "http://127.0.0.1:8081"]
ENTRYPOINT ["/tunnel-balancer"]
CMD ["serve", "--file", "/etc/tunnel-balancer/services.yaml", "--listen", ":8080", "--admin", "127.0.0.1:8081"]
