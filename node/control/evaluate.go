package control

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Evaluate returns the series of a PromQL expression between two moments, through the
// node's Prometheus API. One moment is start and end alike.
func (c *Client) Evaluate(ctx context.Context, expr string, start, end time.Time, step time.Duration) ([]Labelled, error) {
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	path := "/api/v1/query_range?" + url.Values{"query": {expr}, "start": {seconds(start)}, "end": {seconds(end)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}}.Encode()
	answer, err := call[struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values []sample
			}
		}
	}](ctx, c, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	out := make([]Labelled, 0, len(answer.Data.Result))
	for _, r := range answer.Data.Result {
		points := make([]Point, len(r.Values))
		for i, v := range r.Values {
			points[i] = Point(v)
		}
		out = append(out, Labelled{r.Metric, points})
	}
	return out, nil
}

// sample is a point as the Prometheus API writes it: [seconds, "value"].
type sample Point

// UnmarshalJSON reads such a pair.
func (s *sample) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a sample of %d parts", len(pair))
	}
	var at float64
	if err := json.Unmarshal(pair[0], &at); err != nil {
		return err
	}
	s.T = int64(math.Round(at * 1000))
	return s.V.UnmarshalJSON(pair[1])
}
