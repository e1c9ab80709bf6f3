FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o /out/bizra-top ./cmd/bizra-top && mkdir /out/state

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/bizra-top /usr/bin/bizra-top
COPY --from=build --chown=65532:65532 --chmod=700 /out/state /var/lib/bizra-top
VOLUME /var/lib/bizra-top
EXPOSE 3000
USER 65532:65532
# Asks through the control socket, and exits 5 when no node answers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["/usr/bin/bizra-top", "--state-dir", "/var/lib/bizra-top", "get", "api.listen"]
ENTRYPOINT ["/usr/bin/bizra-top"]
CMD ["--headless", "--listen", "0.0.0.0:3000", "--state-dir", "/var/lib/bizra-top"]
