package settings

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bool declares a switch.
func Bool(r *Registry, s Spec, def bool) *Value[bool] {
	s.Kind = KindBool
	return declare(r, s, def, codec[bool]{
		parse: func(text string) (bool, error) {
			switch strings.ToLower(text) {
			case "true", "yes", "on", "1":
				return true, nil
			case "false", "no", "off", "0":
				return false, nil
			}
			return false, fmt.Errorf("%q is neither true nor false", text)
		},
		format: strconv.FormatBool,
		number: func(v bool) float64 {
			if v {
				return 1
			}
			return 0
		},
	})
}

// Int declares a whole number between s.Min and s.Max.
func Int(r *Registry, s Spec, def int) *Value[int] {
	s.Kind = KindInt
	return declare(r, s, def, codec[int]{
		parse: func(text string) (int, error) {
			v, err := strconv.Atoi(text)
			if err != nil {
				return 0, fmt.Errorf("%q is not a whole number", text)
			}
			return v, nil
		},
		format: strconv.Itoa,
		number: func(v int) float64 { return float64(v) },
	})
}

// Ratio declares a fraction between s.Min and s.Max, which default to 0 and 1.
// "35%" is read as 0.35.
func Ratio(r *Registry, s Spec, def float64) *Value[float64] {
	s.Kind = KindRatio
	if s.Max == 0 {
		s.Max = 1
	}
	s.Step = cmp.Or(s.Step, 0.05)
	return declare(r, s, def, floatCodec)
}

// Float declares a number between s.Min and s.Max.
func Float(r *Registry, s Spec, def float64) *Value[float64] {
	s.Kind = KindFloat
	return declare(r, s, def, floatCodec)
}

// Duration declares a span of time; s.Min, s.Max and s.Step are in seconds.
func Duration(r *Registry, s Spec, def time.Duration) *Value[time.Duration] {
	s.Kind = KindDuration
	return declare(r, s, def, codec[time.Duration]{
		parse:  parseDuration,
		format: formatDuration,
		number: time.Duration.Seconds,
	})
}

// Bytes declares a size; s.Min, s.Max and s.Step are in bytes.
func Bytes(r *Registry, s Spec, def int64) *Value[int64] {
	s.Kind = KindBytes
	return declare(r, s, def, codec[int64]{
		parse:  parseBytes,
		format: formatBytes,
		number: func(v int64) float64 { return float64(v) },
	})
}

// Enum declares a choice among s.Choices.
func Enum(r *Registry, s Spec, def string) *Value[string] {
	s.Kind = KindEnum
	return declare(r, s, def, textCodec)
}

// String declares one line of text.
func String(r *Registry, s Spec, def string) *Value[string] {
	s.Kind = KindString
	return declare(r, s, def, textCodec)
}

// List declares a list of strings.
func List(r *Registry, s Spec, def []string) *Value[[]string] {
	s.Kind = KindList
	return declare(r, s, def, codec[[]string]{
		parse: func(text string) ([]string, error) {
			var out []string
			for _, part := range strings.Split(text, ",") {
				if part = strings.TrimSpace(part); part != "" {
					out = append(out, part)
				}
			}
			return out, nil
		},
		format: func(v []string) string { return strings.Join(v, ",") },
	})
}

// codec reads and writes one kind's text form. number is nil for kinds that
// have no numeric value.
type codec[T any] struct {
	parse  func(string) (T, error)
	format func(T) string
	number func(T) float64
}

var floatCodec = codec[float64]{
	parse: func(text string) (float64, error) {
		number, scale := text, 1.0
		if p, ok := strings.CutSuffix(text, "%"); ok {
			number, scale = strings.TrimSpace(p), 100
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, fmt.Errorf("%q is not a number", text)
		}
		return v / scale, nil
	},
	format: func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) },
	number: func(v float64) float64 { return v },
}

var textCodec = codec[string]{
	parse:  func(text string) (string, error) { return text, nil },
	format: func(v string) string { return v },
}

// ParseNumber reads text as a value of a numeric kind and returns it in the
// unit of [Spec.Min]: seconds, bytes, or the plain number.
func ParseNumber(kind Kind, text string) (float64, error) {
	switch kind {
	case KindDuration:
		v, err := parseDuration(text)
		return v.Seconds(), err
	case KindBytes:
		v, err := parseBytes(text)
		return float64(v), err
	default:
		return floatCodec.parse(text)
	}
}

// FormatNumber is the inverse of [ParseNumber].
func FormatNumber(kind Kind, v float64) string {
	switch kind {
	case KindDuration:
		return formatDuration(time.Duration(math.Round(v*1e6)) * time.Microsecond)
	case KindBytes:
		return formatBytes(int64(v))
	case KindInt:
		return strconv.Itoa(int(math.Round(v)))
	default:
		// Steps of 0.05 add up with binary noise; nobody tunes the tenth digit.
		return floatCodec.format(math.Round(v*1e9) / 1e9)
	}
}

func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 250ms, 15s, 5m or 90d", text)
	}
	return v, nil
}

func formatDuration(v time.Duration) string {
	if day := 24 * time.Hour; v >= day && v%day == 0 {
		return strconv.Itoa(int(v/day)) + "d"
	}
	// time.Duration prints 5m as 5m0s.
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

var byteUnits = []struct {
	suffix string
	size   int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

func parseBytes(text string) (int64, error) {
	number, size := text, int64(1)
	for _, u := range byteUnits {
		if p, ok := cutSuffixFold(text, u.suffix); ok {
			number, size = strings.TrimSpace(p), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*float64(size) > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a size such as 512KiB or 64MiB", text)
	}
	return int64(v * float64(size)), nil
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if len(s) < len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

// formatBytes uses the largest binary unit that loses nothing.
func formatBytes(v int64) string {
	for _, u := range byteUnits[:4] {
		if v >= u.size && v%u.size == 0 {
			return strconv.FormatInt(v/u.size, 10) + u.suffix
		}
	}
	return strconv.FormatInt(v, 10) + "B"
}
