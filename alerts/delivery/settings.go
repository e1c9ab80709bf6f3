package delivery

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// maxReceivers bounds each list of addresses.
const maxReceivers = 16

// Settings are the tunables of sending alerts out. All take effect while the
// node runs.
type Settings struct {
	Alertmanagers  *settings.Value[[]string]
	Webhooks       *settings.Value[[]string]
	GroupBy        *settings.Value[[]string]
	GroupWait      *settings.Value[time.Duration]
	GroupInterval  *settings.Value[time.Duration]
	RepeatInterval *settings.Value[time.Duration]
	Timeout        *settings.Value[time.Duration]
	ExternalURL    *settings.Value[string]
}

// Declare declares them. Waits and intervals default to Alertmanager's.
func Declare(r *settings.Registry) Settings {
	addresses := func(key, doc string) *settings.Value[[]string] {
		return settings.List(r, settings.Spec{Key: key, Secret: true, Doc: doc, Check: checkAddresses}, nil)
	}
	wait := func(key, doc string, min, max float64, def time.Duration) *settings.Value[time.Duration] {
		return settings.Duration(r, settings.Spec{Key: key, Min: min, Max: max, Doc: doc}, def)
	}
	return Settings{
		Alertmanagers: addresses("alerts.alertmanagers", "Alertmanagers, such as http://127.0.0.1:9093; each is sent every alert."),
		Webhooks:      addresses("alerts.webhooks", "URLs that are told of alerts as an Alertmanager tells its webhooks."),
		GroupBy: settings.List(r, settings.Spec{Key: "alerts.group_by",
			Doc: "Labels by which alerts share a message to webhooks; ... is a message for each alert."}, []string{"alertname"}),
		GroupWait:      wait("alerts.group_wait", "How long a new group of alerts waits for others before webhooks are told.", 0, 3600, 30*time.Second),
		GroupInterval:  wait("alerts.group_interval", "How long until webhooks are told what has changed in a group.", 1, 86400, 5*time.Minute),
		RepeatInterval: wait("alerts.repeat_interval", "How long until webhooks are told again of a group that has not changed.", 1, 30*86400, 4*time.Hour),
		Timeout:        wait("alerts.deliver_timeout", "How long an Alertmanager or a webhook may take to answer.", 0.1, 120, 10*time.Second),
		ExternalURL: settings.String(r, settings.Spec{Key: "alerts.external_url", Check: checkExternal,
			Doc: "Where those who read an alert reach this node; empty is api.listen."}, ""),
	}
}

// checkAddresses never repeats an address: it may hold a token.
func checkAddresses(list string) error {
	addresses := strings.Split(list, ",")
	if len(addresses) > maxReceivers {
		return fmt.Errorf("more than %d addresses", maxReceivers)
	}
	for i, a := range addresses {
		if a = strings.TrimSpace(a); a != "" && !isAddress(a) {
			return fmt.Errorf("address %d is no URL such as https://hooks.example.com/alerts", i+1)
		}
	}
	return nil
}

func checkExternal(text string) error {
	if text != "" && !isAddress(text) {
		return errors.New("it is no URL such as https://node.example.com")
	}
	return nil
}

func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}
