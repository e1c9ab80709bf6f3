package control

import (
	"net/http"
	"slices"
	"strconv"
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

func (s *Server) settings(_ http.ResponseWriter, r *http.Request) (any, error) {
	all := s.host.Registry.All()
	if at, given, err := s.moment(r, "at"); err != nil {
		return nil, err
	} else if given {
		values, err := s.host.Observer.SettingsAt(r.Context(), at)
		return SettingsOf(all, values), err
	}
	out := make([]Setting, len(all))
	for i, one := range all {
		out[i] = DescribeSetting(one)
	}
	return out, nil
}

// SettingsOf returns the settings of a catalogue that have one of the numbers, by key,
// with it. No metric tells texts, nor where a value came from.
func SettingsOf(catalogue []settings.Setting, numbers map[string]float64) []Setting {
	out := []Setting{}
	for _, s := range catalogue {
		v, there := numbers[s.Key]
		if !there || !s.Numeric {
			continue
		}
		s.Number, s.Text = v, settings.FormatNumber(s.Kind, v)
		if s.Kind == settings.KindBool {
			s.Text = strconv.FormatBool(v == 1)
		}
		s.Started, s.Source = s.Text, ""
		out = append(out, DescribeSetting(s))
	}
	slices.SortFunc(out, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// DescribeSetting returns a setting as it goes over the wire.
func DescribeSetting(s settings.Setting) Setting {
	part, _, _ := strings.Cut(s.Key, ".")
	return Setting{Key: s.Key, Part: part, Kind: string(s.Kind), Unit: s.Unit, Value: s.Text, Default: s.Default,
		Started: s.Started, Number: s.Number, Numeric: s.Numeric, Min: s.Min, Max: s.Max, Step: s.Step,
		Choices: s.Choices, Doc: s.Doc, Risk: string(s.Risk), Restart: s.Restart, Secret: s.Secret, Source: string(s.Source)}
}
