package control

import (
	"net/http"
	"strings"

	"github.com/bizra/bizra-top/node/settings"
)

func (s *Server) setting(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := s.host.Registry.Get(r.PathValue("key"))
	if err != nil {
		return nil, &Problem{http.StatusNotFound, err.Error()}
	}
	return DescribeSetting(found), nil
}

func (s *Server) settings(http.ResponseWriter, *http.Request) (any, error) {
	all := s.host.Registry.All()
	out := make([]Setting, len(all))
	for i, one := range all {
		out[i] = DescribeSetting(one)
	}
	return out, nil
}

// DescribeSetting returns a setting as it goes over the wire.
func DescribeSetting(s settings.Setting) Setting {
	part, _, _ := strings.Cut(s.Key, ".")
	return Setting{Key: s.Key, Part: part, Kind: string(s.Kind), Unit: s.Unit, Value: s.Text, Default: s.Default,
		Started: s.Started, Number: s.Number, Numeric: s.Numeric, Min: s.Min, Max: s.Max, Step: s.Step,
		Choices: s.Choices, Doc: s.Doc, Risk: string(s.Risk), Restart: s.Restart, Secret: s.Secret, Source: string(s.Source)}
}
