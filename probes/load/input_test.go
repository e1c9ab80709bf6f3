package load_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/probes/load"
)

func TestReadSubjects(t *testing.T) {
	hash := "0x" + strings.Repeat("ab", 32)
	s, err := load.ReadSubjects(strings.NewReader("# newest first\n17\n\n0x10\n" + hash + "\n0x00000000219ab540356cBB839Cbe05303d7705Fa\n"))
	if err != nil || len(s.Blocks) != 2 || s.Blocks[1] != 16 || len(s.Transactions) != 1 || len(s.Addresses) != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	for name, text := range map[string]string{"empty": "\n# nothing\n", "neither": "17\nlatest\n", "long": strings.Repeat("1", 1<<20)} {
		if _, err := load.ReadSubjects(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParseMix(t *testing.T) {
	m, err := load.ParseMix("block=60, transaction=30,address=0")
	if err != nil || m.String() != "block=60,transaction=30" {
		t.Fatal(m, err)
	}
	for _, text := range []string{"", "block", "block=-1", "block=NaN", "block=0", "block=1,block=2", "block=1,,"} {
		if _, err := load.ParseMix(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// A mix is refused where the target has no such kind, or nothing to ask for.
func TestMixThatCannotBeAsked(t *testing.T) {
	target, err := load.NewTarget("http://127.0.0.1:1", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ledger", "rpc.block", "block"} {
		_, err := load.Run(t.Context(), load.Config{Target: target, Mix: load.Mix{{Kind: kind, Weight: 1}}, Timeout: time.Second, Concurrency: 1,
			Pattern: load.Pattern{Shape: load.Constant, Rate: 1, Duration: time.Second}})
		if err == nil {
			t.Errorf("%s: no error", kind)
		}
	}
}

func TestTargetShowsNoSecret(t *testing.T) {
	target, err := load.NewTarget("http://user:s3cret@127.0.0.1:1/v3/s3cret?key=s3cret", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = load.Find(t.Context(), target, 1); err == nil || strings.Contains(err.Error()+target.Name(), "s3cret") {
		t.Errorf("%s: %v", target.Name(), err)
	}
	for _, url := range []string{"", "127.0.0.1:3000", "ftp://x", "http://", "http://s3cret\x7f"} {
		if _, err := load.NewTarget(url, false); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestObjectives(t *testing.T) {
	r := load.Report{Requests: 1000, ErrorRatio: 0.01, Rate: 3499, Latency: load.Latency{P99: 0.080, P999: 0.2, Mean: 0.01}}
	for text, kept := range map[string]bool{
		"p99=80ms": true, "p99=79.9ms": false, "p99.9=1s": true, "mean=9ms": false, "errors=1%": true, "errors=0.009": false, "rate=3499": true, "rate=3500": false,
	} {
		o, err := load.ParseObjectives(text)
		if err != nil || len(o) != 1 {
			t.Fatal(text, err)
		}
		if measured, got := o[0].Check(r); got != kept || o[0].String() != text {
			t.Errorf("%s: %v with %s", text, got, measured)
		}
		if _, got := o[0].Check(load.Report{}); got {
			t.Errorf("%s: kept without a request", text)
		}
	}
	for _, text := range []string{"", "p99", "p98=1s", "p99=80", "p99=-1s", "errors=x", "rate=NaN", "errors=1%,"} {
		if _, err := load.ParseObjectives(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// What is read from the command line or a file never ends the program, and what is
// accepted can be asked for.
func FuzzInput(f *testing.F) {
	for _, seed := range []string{"block=60,transaction=30", "p99=80ms,errors=1%", "17\n0x10\n", "# x\n0x00000000219ab540356cBB839Cbe05303d7705Fa"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := load.ParseMix(text); err == nil && len(m) == 0 {
			t.Error("a mix of nothing")
		}
		if o, err := load.ParseObjectives(text); err == nil {
			for _, one := range o {
				one.Check(load.Report{Requests: 1})
			}
		}
		if s, err := load.ReadSubjects(strings.NewReader(text)); err == nil && len(s.Blocks)+len(s.Transactions)+len(s.Addresses) == 0 {
			t.Error("subjects of nothing")
		}
	})
}
