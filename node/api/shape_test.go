package api

import (
	"encoding/json"
	"testing"
)

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		is   shape
		text string
		want bool
	}{
		{shape{}, `7`, true}, {quantity, `"0x0"`, true}, {quantity, `"0x"`, false}, {quantity, `null`, false}, {quantity, `""`, false}, {quantity, `"`, false},
		{quantity, `"0xg"`, false}, {quantity, `7`, false}, {countOrNull, `null`, true}, {data, `"0x"`, true}, {data, `"0xAb"`, true}, {data, `{}`, false},
		{aBlock, `{}`, false}, {aBlock, `{"parentHash":"0x"}`, true}, {aBlock, `null`, true}, {aBlock, `[]`, false}, {logs, `[]`, true}, {logs, ` [ ] `, true},
		{logs, `null`, false}, {logs, `[7]`, false}, {logs, `[{"blockHash":"0x"}]`, true}, {logs, ``, false}, {receipts, `{}`, false},
	} {
		if got := c.is.sound(json.RawMessage(c.text)); got != c.want {
			t.Errorf("%+v, %s: %v", c.is, c.text, got)
		}
	}
}
