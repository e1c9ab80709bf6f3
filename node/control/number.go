package control

import (
	"encoding/json"
	"math"
	"strconv"
)

// Number is a float64 that survives JSON: NaN and the infinities, which PromQL
// produces (0/0 is "no requests yet"), travel as strings.
type Number float64

// MarshalJSON writes a number, or "NaN", "+Inf", "-Inf".
func (n Number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.AppendQuote(nil, strconv.FormatFloat(f, 'g', -1, 64)), nil
	}
	return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Number) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) != nil {
		s = string(data)
	}
	f, err := strconv.ParseFloat(s, 64)
	*n = Number(f)
	return err
}
