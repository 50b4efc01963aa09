# The broker as a static binary on an empty image: nothing in it but the binary
# and the CA certificates.
#
#   docker build -t latchkey .
#   docker run -p 8080:8080 -v /etc/latchkey:/etc/latchkey:ro latchkey

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/broker ./cmd/broker

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/broker /broker
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/broker"]
CMD ["serve", "-c", "/etc/latchkey/latchkey.yaml"]
