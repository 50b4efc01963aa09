# The broker, or with COMMAND=provisioner the provisioner, as a static binary on an
# empty image: nothing in it but the binary and the CA certificates.
#
#   docker build -t latchkey .
#   docker run -p 8080:8080 -v /etc/latchkey:/etc/latchkey:ro latchkey
#
#   docker build -t latchkey-provisioner --build-arg COMMAND=provisioner .
#   docker run -v /etc/latchkey:/etc/latchkey:ro latchkey-provisioner run -c /etc/latchkey/latchkey.yaml

FROM golang:1.26 AS build
ARG COMMAND=broker
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/latchkey ./cmd/${COMMAND}

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/latchkey /latchkey
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/latchkey"]
CMD ["serve", "-c", "/etc/latchkey/latchkey.yaml"]
