package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/settings"
)

// answerOf is an answer as the cache gives it.
func answerOf(t testing.TB, body []byte) cache.Answer {
	t.Helper()
	c, err := cache.New(cache.Declare(settings.NewRegistry()), nil, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	a, err := c.Get(t.Context(), cache.Block, "k", func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: body}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSplicedBodiesDecode(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(random.IntN(256))
	}
	text := []byte(strings.Repeat(`{"hash":"0xabcdef","value":"0x1234","nonce":7},`, 60))
	half := bytes.Clone(noise[:100_000])
	for name, body := range map[string][]byte{
		"small": text, "blocks": bytes.Repeat(text, 200), "large": bytes.Repeat(text, 4500), "zeros": make([]byte, 1<<20),
		"half noise": append(half, bytes.Repeat(text, 40)...),
	} {
		a := answerOf(t, body)
		for _, frame := range []struct{ head, tail string }{{"", ""}, {`{"jsonrpc":"2.0","id":1,"result":`, "}"}} {
			want := frame.head + string(body) + frame.tail
			before, middle, after := gzipAround([]byte(frame.head), a.Encoded(cache.Deflate), body, frame.tail)
			r, err := gzip.NewReader(bytes.NewReader(bytes.Join([][]byte{before, middle, after}, nil)))
			if err != nil {
				t.Fatalf("%s: gzip: %v", name, err)
			}
			r.Multistream(false) // one member: some clients read no second
			if got, err := io.ReadAll(r); err != nil || string(got) != want {
				t.Errorf("%s: gzip: %d bytes of %d, %v", name, len(got), len(want), err)
			}
			before, middle, after = zstdAround([]byte(frame.head), a.Encoded(cache.Zstd), frame.tail)
			d, err := zstd.NewReader(bytes.NewReader(bytes.Join([][]byte{before, middle, after}, nil)), zstd.WithDecoderMaxWindow(8<<20))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(d); err != nil || string(got) != want {
				t.Errorf("%s: zstd: %d bytes of %d, %v", name, len(got), len(want), err)
			}
			d.Close()
		}
	}
	if _, middle, _ := zstdAround(nil, answerOf(t, noise).Encoded(cache.Zstd), ""); middle != nil {
		t.Error("noise was sent encoded")
	}
}

// Frames that are not as ours are left alone, whatever they hold.
func FuzzZstdAround(f *testing.F) {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	plain := bytes.Repeat([]byte("abcdefg"), 1000)
	f.Add(e.EncodeAll(plain, nil)) // with a checksum
	f.Add(answerOf(f, plain).Encoded(cache.Zstd))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		before, middle, after := zstdAround([]byte("head"), frame, "tail")
		if middle == nil {
			return
		}
		d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		inner, err := d.DecodeAll(frame, nil)
		if err != nil {
			return // a frame that was never good
		}
		whole, err := d.DecodeAll(bytes.Join([][]byte{before, middle, after}, nil), nil)
		if err == nil && string(whole) != "head"+string(inner)+"tail" {
			t.Errorf("%q", whole)
		}
	})
}

func TestAccepts(t *testing.T) {
	for header, want := range map[string][2]bool{ // zstd, gzip
		"":                          {false, false},
		"gzip":                      {false, true},
		"gzip, deflate, br, zstd":   {true, true},
		"GZIP;q=0.5":                {false, true},
		"zstd;q=0, gzip; q = 0.1":   {false, true},
		"zstd;q=0.000,gzip;q=1.000": {false, true},
		"gzipped, x-zstd":           {false, false},
		"*":                         {false, false},
		"zstd;q=many":               {false, false},
		",,;,gzip":                  {false, true},
	} {
		if got := [2]bool{accepts(header, "zstd"), accepts(header, "gzip")}; got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// What a request means does not change when it is written canonically, and what
// means the same is written the same.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		`[]`, `[1,-0.5e10,"0XaB","text\n","\u20ac","\ud83d\ude00",true,false,null]`, ` [ { "b" : 1 , "a" : [ {"z":"0X1","y":{}} ] } ] `,
		`[{"a":1,"a":2}]`, `["\"quoted\\\"","<>&"]`, `[1e999]`, `[12345678901234567890]`, `["\u0000\u001f"]`, `["\u2028"]`, `[{"\u0061":1,"a":2}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) || !json.Valid(data) || fastjson.ValidateBytes(data) != nil || bytes.Contains(data, []byte(`\ud`)) || bytes.Contains(data, []byte(`\uD`)) {
			return // half a surrogate pair has no meaning that could stay the same
		}
		v, err := fastjson.ParseBytes(data)
		if err != nil {
			return
		}
		once := appendCanonical(nil, v)
		again, err := fastjson.ParseBytes(once)
		if err != nil {
			t.Fatalf("%q became %q: %v", data, once, err)
		}
		if twice := appendCanonical(nil, again); string(twice) != string(once) {
			t.Errorf("%q became %q, then %q", data, once, twice)
		}
		var before, after any
		if json.Unmarshal(data, &before) != nil || json.Unmarshal(once, &after) != nil {
			return // a number that is no float
		}
		if !reflect.DeepEqual(lowered(before), after) {
			t.Errorf("%q became %q", data, once)
		}
	})
}

func lowered(v any) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, "0x") || strings.HasPrefix(v, "0X") {
			return string(bytes.ToLower([]byte(v)))
		}
	case []any:
		for i := range v {
			v[i] = lowered(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = lowered(v[k])
		}
	}
	return v
}
