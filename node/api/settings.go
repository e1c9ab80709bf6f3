package api

import (
	"fmt"
	"net"
	"path"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/descriptors"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the tunables of the public HTTP surface.
type Settings struct {
	Listen        *settings.Value[string]
	MaxBody       *settings.Value[int64]
	MaxBodies     *settings.Value[int64]
	MaxBatchBytes *settings.Value[int64]
	MaxConns      *settings.Value[int]
	AddressShare  *settings.Value[float64]
	LeastRate     *settings.Value[int64]
	MaxBatch      *settings.Value[int]
	MaxDepth      *settings.Value[int]
	EncodeAbove   *settings.Value[int64]
	MaxInFlight   *settings.Value[int]
	Deadline      *settings.Value[time.Duration]
	Broadcast     *settings.Value[int]
	MaxStreams    *settings.Value[int]
	StreamOrigins *settings.Value[[]string]
	Origins       *settings.Value[[]string]
	Hosts         *settings.Value[[]string]
	DrainAfter    *settings.Value[time.Duration]
	DrainFor      *settings.Value[time.Duration]
	Pin           *settings.Value[string]
}

// The choices of gateway.pin.
const (
	pinHash   = "hash"
	pinNumber = "number"
	pinOff    = "off"
)

// Declare declares the tunables of the API.
func Declare(r *settings.Registry) Settings {
	return Settings{
		Listen: settings.String(r, settings.Spec{Key: "api.listen", Restart: true, Check: func(v string) error {
			_, _, err := net.SplitHostPort(v)
			return err
		}, Doc: "Address the API listens on; port 0 takes a free one."}, "127.0.0.1:3000"),
		MaxBody: settings.Bytes(r, settings.Spec{Key: "api.max_body", Min: 1 << 10, Max: 1 << 30, Step: 64 << 10,
			Doc: "Largest request body that is read.", Risk: settings.RiskMedium}, 1<<20),
		MaxBodies: memory.Declare(r),
		MaxBatchBytes: settings.Bytes(r, settings.Spec{Key: "api.max_batch_bytes", Min: 64 << 10, Max: 1 << 30, Step: 1 << 20,
			Doc: "Largest answer to one batch; members beyond it are answered with an error.", Risk: settings.RiskMedium}, 25_000_000),
		MaxConns: settings.Int(r, settings.Spec{Key: "api.max_connections", Unit: "connections", Min: 0, Max: 1_000_000, Step: 64,
			Doc: "Client connections at once; 0 derives it from the limit of file descriptors, with a reserve for the node's own.", Risk: settings.RiskHigh}, 0),
		AddressShare: settings.Ratio(r, settings.Spec{Key: "api.address_share", Min: 0.01, Max: 1, Step: 0.05,
			Doc: "Largest part of api.max_connections and api.max_in_flight that one client address may have; set 1 behind a proxy, whose address all clients have.", Risk: settings.RiskMedium}, 0.5),
		LeastRate: settings.Bytes(r, settings.Spec{Key: "api.least_rate", Min: 1, Max: 1 << 30, Step: 1 << 10,
			Doc: "Bytes a second at which a client must read an answer; who is slower for longer than 5 s is cut.", Risk: settings.RiskMedium}, 8<<10),
		MaxBatch: settings.Int(r, settings.Spec{Key: "api.max_batch", Unit: "requests", Min: 1, Max: 10000, Step: 10,
			Doc: "Most members of one batch.", Risk: settings.RiskMedium}, 100),
		MaxDepth: settings.Int(r, settings.Spec{Key: "api.max_depth", Unit: "levels", Min: 4, Max: 256, Step: 4,
			Doc: "Deepest nesting of a JSON request.", Risk: settings.RiskMedium}, 32),
		EncodeAbove: settings.Bytes(r, settings.Spec{Key: "api.encode_above", Min: 2 << 10, Max: 1 << 30, Step: 4 << 10,
			Doc: "Bodies of this size and above are sent as zstd or gzip to clients that accept it.", Risk: settings.RiskMedium}, 16<<10),
		MaxInFlight: settings.Int(r, settings.Spec{Key: "api.max_in_flight", Unit: "requests", Min: 1, Max: 1_000_000, Step: 64,
			Doc: "Requests under way above which further ones are answered 503 at once.", Risk: settings.RiskHigh}, 1024),
		Deadline: settings.Duration(r, settings.Spec{Key: "api.deadline", Min: 0.1, Max: 300, Step: 1,
			Doc: "Longest time one request may take.", Risk: settings.RiskHigh}, 20*time.Second),
		Broadcast: settings.Int(r, settings.Spec{Key: "gateway.broadcast", Unit: "providers", Min: 1, Max: 16, Step: 1,
			Doc: "Providers that a signed transaction is sent to at once; the first that accepts it answers the client.", Risk: settings.RiskMedium}, 3),
		MaxStreams: settings.Int(r, settings.Spec{Key: "api.max_streams", Unit: "streams", Min: 0, Max: 1000, Step: 8,
			Doc: "WebSocket streams at /ws/metrics above which further ones are answered 503.", Risk: settings.RiskMedium}, 32),
		StreamOrigins: settings.List(r, settings.Spec{Key: "api.stream_origins", Check: checkOrigins,
			Doc: "Web origins beside the node's own and api.origins whose pages may open a stream, such as https://*.example.org."}, nil),
		Origins: settings.List(r, settings.Spec{Key: "api.origins", Check: checkOrigins,
			Doc: "Web origins whose pages may ask and read answers, such as https://*.example.org; wallets in the browser are extensions."},
			[]string{"chrome-extension://*", "moz-extension://*", "safari-web-extension://*"}),
		Hosts: settings.List(r, settings.Spec{Key: "api.hosts", Check: checkOrigins,
			Doc: "Host names this node is asked by; empty lets any name through, over loopback none but localhost. Addresses always are."}, nil),
		DrainAfter: settings.Duration(r, settings.Spec{Key: "api.drain_delay", Min: 0, Max: 60, Step: 1,
			Doc: "On shutdown, /health/ready says no for this long before connections are refused, so that load balancers can look elsewhere."}, 0),
		DrainFor: settings.Duration(r, settings.Spec{Key: "api.drain_timeout", Min: 0, Max: 300, Step: 1,
			Doc: "On shutdown, requests under way have this long to finish."}, 10*time.Second),
		Pin: settings.Enum(r, settings.Spec{Key: "gateway.pin", Choices: []string{pinHash, pinNumber, pinOff}, Risk: settings.RiskMedium,
			Doc: "How latest, safe, finalized and an absent block are put to providers: as the trusted block's hash, as its number, or as they came."}, pinHash),
	}
}

// checkOrigins holds the patterns to what the check of an origin can read.
func checkOrigins(patterns string) error {
	for p := range strings.SplitSeq(patterns, ",") {
		if _, err := path.Match(strings.TrimSpace(p), ""); err != nil {
			return fmt.Errorf("%q is not a pattern such as https://*.example.org", p)
		}
	}
	return nil
}

// maxConnections returns api.max_connections, derived where it is 0.
func (s Settings) maxConnections() int {
	if n := s.MaxConns.Get(); n > 0 {
		return n
	}
	return descriptors.Clients()
}
