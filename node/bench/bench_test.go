package main

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(parent) != "" {
		runAsParent()
	}
	code := m.Run()
	tidy()
	os.Exit(code)
}

// The same contenders under "go test -bench".
func BenchmarkScenes(b *testing.B) {
	for _, s := range scenes() {
		for _, c := range s.contenders {
			b.Run(s.name+"/"+c.name, func(b *testing.B) {
				do := c.start()
				b.ReportAllocs()
				b.ResetTimer()
				if s.parallel {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							do(1)
						}
					})
				} else {
					do(b.N)
				}
			})
		}
	}
}

// Every contender of every scene runs, and the table has a line for each.
func TestEveryContenderRuns(t *testing.T) {
	for _, s := range scenes() {
		rows := s.run(1, time.Millisecond)
		if len(rows) != len(s.contenders) || rows[0].ratio != 1 {
			t.Fatalf("%s: %+v", s.name, rows)
		}
		for _, r := range rows {
			if r.ns <= 0 {
				t.Errorf("%s, %s: %+v", s.name, r.name, r)
			}
		}
	}
}
