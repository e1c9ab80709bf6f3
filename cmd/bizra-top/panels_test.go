package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// The panels of an operator are asked of a real node through its door: series with
// their labels, numbers that are none, and what is wrong with an expression.
func TestTheDoorEvaluatesPromQL(t *testing.T) {
	s, socket := serveNode(t)
	c := control.NewClient(socket)
	t.Cleanup(c.Close)
	exercise(t, s, c, false)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		now := time.Now()
		list, err := c.Evaluate(t.Context(), `bizra_setting{key="pool.limit"}`, now, now, time.Second)
		if err == nil && len(list) == 1 && len(list[0].Points) == 1 && list[0].Labels["key"] == "pool.limit" && list[0].Points[0].V > 0 {
			break
		}
		if now.After(deadline) {
			t.Fatalf("after 30 s the node says %+v, %v", list, err)
		}
	}
	now := time.Now()
	list, err := c.Evaluate(t.Context(), "0 / vector(0)", now.Add(-time.Minute), now, 5*time.Second)
	if err != nil || len(list) != 1 || len(list[0].Points) != 13 || list[0].Points[0].V == list[0].Points[0].V {
		t.Errorf("what is no number: %+v, %v", list, err)
	}
	if at := list[0].Points[12].T; at < now.Add(-time.Second).UnixMilli() || at > now.UnixMilli() {
		t.Errorf("the last point is of %d, asked at %d", at, now.UnixMilli())
	}
	var p *control.Problem
	if _, err := c.Evaluate(t.Context(), "sum(", now, now, time.Second); !errors.As(err, &p) || !strings.Contains(p.Text, "parse") {
		t.Errorf("a broken expression: %v", err)
	}
	look, err := c.Look(t.Context(), 0)
	if err != nil || len(look.Breakers) == 0 {
		t.Fatalf("%d breakers, %v", len(look.Breakers), err)
	}
	for _, b := range look.Breakers {
		if o, err := c.Outcomes(t.Context(), b.Name); err != nil || o.Span == 0 && o.Each == 0 || len(o.Cells) > control.MaxCells {
			t.Errorf("the window of %s: %+v, %v", b.Name, o, err)
		}
	}
}
