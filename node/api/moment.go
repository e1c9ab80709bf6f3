package api

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/upstream/head"
)

// asked is a call as the providers are asked it: at one block, which it names.
type asked struct {
	upstream.Question
	block   head.Block // what the answer rests on; with a zero hash where only the height is known
	names   bool       // it names a block, by a number or as what a tag stood for
	byHash  bool       // it names a block by the hash that the client gave
	moving  bool       // a tag, or none: the same call means another block later
	pending bool       // it asks for what is in no block yet
	subject bool       // it asks for a transaction or a receipt
	hash    string     // of that
	ahead   bool       // it names a block that does not exist yet
	// plain are the parameters without the hash that was put in for a number.
	plain  json.RawMessage
	method string // of plain, where that is another one
}

// errNoHead is returned while no head is known that could be trusted.
var errNoHead = errors.New("no quorum of providers has named a head yet")

// headFor bounds how long a call waits for the first head.
const headFor = 3 * time.Second

// moment returns the moment at which tags are read.
func (g *gateway) moment(ctx context.Context) (*head.Moment, error) {
	if m := g.upstreams.Moment(); m != nil {
		return m, nil
	}
	if err := g.upstreams.Available(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, headFor)
	defer cancel()
	if m := g.upstreams.Confirm(limited); m != nil {
		return m, nil
	}
	return nil, cmp.Or(ctx.Err(), errNoHead)
}

// at resolves the block that a call names, so that every provider is asked about the same.
// done is the answer where there is nothing to ask.
func (g *gateway) at(ctx context.Context, m *method, name string, params json.RawMessage) (a asked, done json.RawMessage, err error) {
	a.Question = upstream.Question{Method: name, Params: params}
	if m.is != (shape{}) {
		a.Sound = m.is.sound
	}
	if m.subject {
		return a, nil, g.subject(ctx, &a)
	}
	if m.block == none {
		return a, nil, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(params, &list) != nil || len(list) < m.block {
		return a, nil, nil // the provider says what is missing
	}
	if m.names == byFilter {
		return g.atRange(ctx, m, a, list)
	}
	if len(list) == m.block && (m.names == hashOnly || m.block == 0) {
		return a, nil, nil
	}
	if len(list) == m.block {
		list = append(list, json.RawMessage(`"latest"`))
	}
	hash, text := blockNamed(list[m.block])
	switch {
	case hash != "" || m.names == hashOnly:
		a.byHash = true
		if hash == "" {
			hash = text
		}
		a.block.Hash, a.byHash = hashOf(hash)
		return a, nil, nil
	case text == "":
		return a, nil, nil // the provider says what is wrong
	}
	known, err := g.read(ctx, &a, text)
	if err != nil {
		return a, nil, err
	}
	if !known {
		return a, nil, nil
	}
	if a.ahead {
		if m.future != nil {
			return a, nil, m.future
		}
		return a, json.RawMessage("null"), nil
	}
	g.pin(m, &a, list)
	return a, nil, nil
}

// subject has the question go to those who have reached the moment: who lags does not know
// of what is in the newest blocks.
func (g *gateway) subject(ctx context.Context, a *asked) error {
	m, err := g.moment(ctx)
	if err != nil {
		return err
	}
	a.subject, a.Height = true, m.Number
	var list []string
	if json.Unmarshal(a.Params, &list) == nil && len(list) > 0 && len(list[0]) == 66 {
		a.hash = list[0]
	}
	return nil
}

// blockNamed reads a parameter that names a block: as a hash, or as a number or tag; null
// is the newest.
func blockNamed(raw json.RawMessage) (hash, text string) {
	switch raw[0] {
	case 'n':
		return "", "latest"
	case '{': // EIP-1898
		var o struct{ BlockHash, BlockNumber string }
		if json.Unmarshal(raw, &o) != nil {
			return "", ""
		}
		return o.BlockHash, o.BlockNumber
	}
	if json.Unmarshal(raw, &text) != nil {
		return "", ""
	}
	if len(text) == 66 {
		return text, ""
	}
	return "", text
}

func hashOf(text string) (hash head.Hash, ok bool) {
	digits, found := strings.CutPrefix(text, "0x")
	if !found || len(digits) != 2*len(hash) {
		return hash, false
	}
	_, err := hex.Decode(hash[:], []byte(digits))
	return hash, err == nil
}

// read resolves a number or tag into the block of a call; false where it is neither.
func (g *gateway) read(ctx context.Context, a *asked, text string) (bool, error) {
	heads := g.upstreams.Heads()
	switch text {
	case "pending":
		m, err := g.moment(ctx)
		if err != nil {
			return false, err
		}
		a.pending, a.moving, a.Height = true, true, m.Number
		return false, nil
	case "earliest":
		text = "0x0"
	case "latest", "safe", "finalized":
		m, err := g.moment(ctx)
		if err != nil {
			return false, err
		}
		a.moving, a.block = true, m.Block
		if text == "safe" {
			a.block = m.Safe
		} else if text == "finalized" {
			a.block = m.Final
		}
		if (a.block == head.Block{}) {
			return false, nil // nothing is final yet: the provider says so
		}
		a.names, a.Height = true, a.block.Number
		return true, nil
	}
	digits, ok := strings.CutPrefix(text, "0x")
	number, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil || len(digits) > 1 && digits[0] == '0' {
		return false, nil
	}
	m, err := g.moment(ctx)
	if err != nil {
		return false, err
	}
	if number > m.Number && (!g.upstreams.Claimed(number) || !g.upstreams.Reach(ctx, number)) {
		a.ahead = true
		return true, nil
	}
	a.names, a.Height = true, number
	a.block.Number = number
	a.block.Hash, _ = heads.Canonical(number)
	return true, nil
}

// pin puts the block into the parameters: by its hash where that is known, so that a
// provider on another fork cannot answer, else by its number.
func (g *gateway) pin(m *method, a *asked, list []json.RawMessage) {
	a.State = m.names == byAny
	mode := g.settings.Pin.Get()
	if mode == pinOff {
		return
	}
	number := json.RawMessage(fmt.Sprintf(`"0x%x"`, a.block.Number))
	hash := json.RawMessage(fmt.Sprintf(`"0x%x"`, a.block.Hash[:]))
	list[m.block] = number
	a.Params = join(list)
	if mode != pinHash || (a.block.Hash == head.Hash{}) {
		return
	}
	a.plain, a.method = a.Params, a.Method
	switch {
	case m.names == byAny:
		list[m.block] = json.RawMessage(`{"blockHash":` + string(hash) + `}`)
	case m.names == byText:
		list[m.block] = hash
	case m.byHash != "":
		list[m.block] = hash
		a.Method = m.byHash
	default:
		a.plain, a.method = nil, ""
		return
	}
	a.Params = join(list)
}

func join(list []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, p := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, p...)
	}
	return append(out, ']')
}

// atRange resolves the blocks that a filter names.
func (g *gateway) atRange(ctx context.Context, m *method, a asked, list []json.RawMessage) (asked, json.RawMessage, error) {
	var filter map[string]json.RawMessage
	if len(list) == 0 || json.Unmarshal(list[0], &filter) != nil || filter == nil {
		return a, nil, nil
	}
	if raw, ok := filter["blockHash"]; ok && string(raw) != "null" {
		var text string
		if json.Unmarshal(raw, &text) == nil {
			a.block.Hash, a.byHash = hashOf(text)
		}
		return a, nil, nil
	}
	var ends [2]head.Block
	for i, name := range []string{"fromBlock", "toBlock"} {
		text := "latest"
		if raw, ok := filter[name]; ok && string(raw) != "null" {
			if json.Unmarshal(raw, &text) != nil {
				return a, nil, nil
			}
		}
		end := a
		known, err := g.read(ctx, &end, text)
		if err != nil {
			return a, nil, err
		}
		if !known {
			a.moving, a.pending = true, end.pending
			return a, nil, nil
		}
		if end.ahead {
			return a, nil, m.future
		}
		ends[i], a.moving = end.block, a.moving || end.moving
		filter[name] = json.RawMessage(fmt.Sprintf(`"0x%x"`, end.block.Number))
	}
	if ends[0].Number > ends[1].Number {
		return a, nil, nil // the provider says so
	}
	a.block, a.names, a.Height, a.Span = ends[1], true, ends[1].Number, ends[1].Number-ends[0].Number+1
	if g.settings.Pin.Get() != pinOff {
		raw, err := json.Marshal(filter)
		if err != nil {
			return a, nil, fmt.Errorf("write the filter: %w", err)
		}
		list[0] = raw
		a.Params = join(list)
	}
	return a, nil, nil
}
