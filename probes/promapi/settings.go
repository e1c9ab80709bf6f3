package promapi

import (
	"fmt"
	"net"

	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the tunables of the API.
type Settings struct {
	Listen     *settings.Value[string]
	MaxQueries *settings.Value[int]
}

// Declare declares the tunables of the API.
func Declare(r *settings.Registry) Settings {
	return Settings{
		Listen: settings.String(r, settings.Spec{Key: "history.listen", Restart: true, Check: func(v string) error {
			if v == "" {
				return nil
			}
			if _, _, err := net.SplitHostPort(v); err != nil {
				return fmt.Errorf("must be an address such as 127.0.0.1:9090, or empty: %w", err)
			}
			return nil
		}, Doc: "Address where the history answers the Prometheus HTTP API, for Grafana and promtool; empty is off."}, ""),
		MaxQueries: settings.Int(r, settings.Spec{Key: "history.max_queries", Unit: "queries", Min: 1, Max: 64, Step: 1, Restart: true,
			Doc:  "Queries of the Prometheus HTTP API that run at once; more wait a moment, then they are refused.",
			Risk: settings.RiskMedium}, 4),
	}
}
