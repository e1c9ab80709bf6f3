package promapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

func (a *API) series(ctx context.Context, r *http.Request) (_ result, err error) {
	if len(r.Form["match[]"]) == 0 {
		return result{}, badData(errors.New("no match[] parameter provided"))
	}
	limit, err := limitOf(r, maxSeries)
	if err != nil {
		return result{}, err
	}
	from, to, err := span(r)
	if err != nil {
		return result{}, err
	}
	matchers, err := a.matchersOf(r)
	if err != nil {
		return result{}, err
	}
	q, err := a.source.Queryable.Querier(from, to)
	if err != nil {
		return result{}, failed(err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	// "series" is the storage's word for a look-up without samples.
	hints := &storage.SelectHints{Start: from, End: to, Func: "series", Limit: limit + 1}
	sets := make([]storage.SeriesSet, len(matchers))
	for i, m := range matchers {
		sets[i] = q.Select(ctx, len(matchers) > 1, hints, m...)
	}
	set := sets[0]
	if len(sets) > 1 {
		set = storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
	}
	out := []labels.Labels{}
	for len(out) <= limit && ctx.Err() == nil && set.Next() {
		out = append(out, set.At().Labels())
	}
	if err := errors.Join(set.Err(), ctx.Err()); err != nil {
		return result{}, failed(err)
	}
	warnings := set.Warnings()
	return cut(out, limit, warnings), nil
}

// cut bounds a list.
func cut[T any](list []T, limit int, noted annotations.Annotations) result {
	if list == nil {
		list = []T{}
	}
	warnings, infos := noted.AsStrings("", 10, 10)
	if len(list) > limit {
		list, warnings = list[:limit], append(warnings, truncated)
	}
	return result{data: list, warnings: warnings, infos: infos}
}

func (a *API) labelNames(ctx context.Context, r *http.Request) (result, error) {
	return a.list(r, func(q storage.Querier, hints *storage.LabelHints, m []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, hints, m...)
	})
}

func (a *API) labelValues(ctx context.Context, r *http.Request) (result, error) {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return result{}, badData(fmt.Errorf("invalid label name: %q", name))
	}
	return a.list(r, func(q storage.Querier, hints *storage.LabelHints, m []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, hints, m...)
	})
}

// list joins what find returns for each set of matchers.
func (a *API) list(r *http.Request, find func(storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, annotations.Annotations, error)) (_ result, err error) {
	limit, err := limitOf(r, maxSeries)
	if err != nil {
		return result{}, err
	}
	from, to, err := span(r)
	if err != nil {
		return result{}, err
	}
	matchers, err := a.matchersOf(r)
	if err != nil {
		return result{}, err
	}
	if len(matchers) == 0 {
		matchers = append(matchers, nil)
	}
	q, err := a.source.Queryable.Querier(from, to)
	if err != nil {
		return result{}, failed(err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	var all []string
	var noted annotations.Annotations
	for _, m := range matchers {
		found, more, err := find(q, &storage.LabelHints{Limit: limit + 1}, m)
		if err != nil {
			return result{}, failed(err)
		}
		noted.Merge(more)
		all = append(all, found...)
	}
	slices.Sort(all)
	return cut(slices.Compact(all), limit, noted), nil
}
