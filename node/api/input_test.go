package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/validation"
)

const nobody = "0x1212121212121212121212121212121212121212121212121212121212121212"

func TestBadInputOfVerdicts(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_body": "2KiB", "api.max_batch": "3", "api.max_depth": "8"}})
	deep := strings.Repeat("[", 50) + strings.Repeat("]", 50)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"short hash", "GET", "/v1/transactions/0x12", "", 400, "hash"},
		{"hash of other letters", "GET", "/v1/transactions/0x" + strings.Repeat("zz", 32), "", 400, "hash"},
		{"escape codes in a hash", "GET", "/v1/transactions/%1b%5b31m", "", 400, "hash"},
		{"block that is a word", "GET", "/v1/blocks/newest", "", 400, "block"},
		{"negative block", "GET", "/v1/blocks/-1", "", 400, "block"},
		{"block beyond 64 bits", "GET", "/v1/blocks/18446744073709551616", "", 400, "block"},
		{"short address", "GET", "/v1/addresses/0x1234", "", 400, "address"},
		{"address without 0x", "GET", "/v1/addresses/" + strings.Repeat("12", 20), "", 400, "address"},
		{"unknown path", "GET", "/v2/blocks/1", "", 404, "nothing here"},
		{"path of a file", "GET", "/../etc/passwd", "", 404, "nothing here"},
		{"root", "GET", "/", "", 405, "POST"},
		{"wrong method", "DELETE", "/v1/validations", "", 405, "GET"},
		{"writing to a verdict", "POST", "/v1/blocks/1", "", 405, "GET"},
		{"writing to health", "POST", "/health", "", 405, "GET"},
		{"batch too large a body", "POST", "/v1/validations", strings.Repeat("x", 5000), 413, "api.max_body"},
		{"batch too deep", "POST", "/v1/validations", deep, 400, "api.max_depth"},
		{"batch that is not JSON", "POST", "/v1/validations", "<html>", 400, "not JSON"},
		{"batch without members", "POST", "/v1/validations", `{"subjects":[]}`, 400, "subjects"},
		{"batch without a body", "POST", "/v1/validations", "", 400, "empty"},
		{"batch over the limit", "POST", "/v1/validations", `{"subjects":[{},{},{},{}]}`, 413, "api.max_batch"},
		{"limit of no number", "GET", "/v1/validations?limit=many", "", 400, "limit"},
		{"limit of none", "GET", "/v1/validations?limit=0", "", 400, "limit"},
		{"limit too high", "GET", "/v1/validations?limit=100000", "", 400, "limit"},
		{"since no time", "GET", "/v1/validations?since=yesterday", "", 400, "since"},
		{"until no time", "GET", "/v1/validations?until=12", "", 400, "until"},
		{"unknown kind", "GET", "/v1/validations?kind=contract", "", 400, "kind"},
		{"unknown outcome", "GET", "/v1/validations?outcome=ok", "", 400, "outcome"},
		{"malformed query", "GET", "/v1/validations?kind=%zz", "", 400, "query"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.send(c.method, c.path, c.body)
			if says := detail(t, a); a.status != c.status || !strings.Contains(says, c.says) {
				t.Errorf("%d %s, want %d with %q", a.status, a.body, c.status, c.says)
			}
			if a.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestBadInputOfTheGateway(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_body": "2KiB", "api.max_batch": "3", "api.max_depth": "8"}})
	member := request("eth_chainId")
	for _, c := range []struct {
		name, body   string
		status, code int
		id           string
	}{
		{"oversized", strings.Repeat(" ", 5000), 413, -32005, "null"},
		{"too deep", request("eth_call", strings.Repeat("x", 3)) + strings.Repeat("[", 50), 400, -32600, "null"},
		{"empty", "", 400, -32600, "null"},
		{"white space", " \n\t", 400, -32600, "null"},
		{"not JSON", "<html>", 400, -32700, "null"},
		{"cut JSON", `{"jsonrpc":"2.0","id":1`, 400, -32700, "null"},
		{"a control character before an escape", "{\"jsonrpc\":\"2.0\",\"id\":\"\x03\\b\",\"method\":\"eth_chainId\"}", 400, -32700, "null"},
		{"two values", member + member, 400, -32700, "null"},
		{"a cut batch", "[" + member, 400, -32700, "null"},
		{"a number", "7", 400, -32600, "null"},
		{"a string", `"eth_chainId"`, 400, -32600, "null"},
		{"null", "null", 400, -32600, "null"},
		{"empty batch", "[]", 400, -32600, "null"},
		{"batch over the limit", "[" + strings.Repeat(member+",", 3) + member + "]", 413, -32005, "null"},
		{"no version", `{"id":4,"method":"eth_chainId"}`, 400, -32600, "4"},
		{"version 1", `{"jsonrpc":"1.0","id":"x","method":"eth_chainId"}`, 400, -32600, `"x"`},
		{"version as a number", `{"jsonrpc":2.0,"id":4,"method":"eth_chainId"}`, 400, -32600, "4"},
		{"object id", `{"jsonrpc":"2.0","id":{"a":1},"method":"eth_chainId"}`, 400, -32600, "null"},
		{"array id", `{"jsonrpc":"2.0","id":[1],"method":"eth_chainId"}`, 400, -32600, "null"},
		{"boolean id", `{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}`, 400, -32600, "null"},
		{"endless id", `{"jsonrpc":"2.0","id":"` + strings.Repeat("9", 500) + `","method":"eth_chainId"}`, 400, -32600, "null"},
		{"an id of 1e1000000", `{"jsonrpc":"2.0","id":1e1000000,"method":"eth_chainId"}`, 400, -32600, "null"},
		{"an id of -1E309", `{"jsonrpc":"2.0","id":-1E309,"method":"eth_chainId"}`, 400, -32600, "null"},
		{"no method", `{"jsonrpc":"2.0","id":4}`, 400, -32600, "4"},
		{"method is a number", `{"jsonrpc":"2.0","id":4,"method":4}`, 400, -32600, "4"},
		{"params an object", `{"jsonrpc":"2.0","id":4,"method":"eth_chainId","params":{}}`, 200, -32602, "4"},
		{"params a string", `{"jsonrpc":"2.0","id":4,"method":"eth_call","params":"latest"}`, 200, -32602, "4"},
		{"params missing where needed", request("eth_getBalance"), 200, -32602, "1"},
		{"eth_accounts", request("eth_accounts"), 200, -32601, "1"},
		{"eth_sign", request("eth_sign", nobody), 200, -32601, "1"},
		{"eth_signTypedData_v4", request("eth_signTypedData_v4"), 200, -32601, "1"},
		{"eth_sendTransaction", request("eth_sendTransaction"), 200, -32601, "1"},
		{"eth_subscribe", request("eth_subscribe", "newHeads"), 200, -32601, "1"},
		{"eth_newFilter", request("eth_newFilter"), 200, -32601, "1"},
		{"debug", request("debug_traceTransaction", nobody), 200, -32601, "1"},
		{"admin", request("admin_peers"), 200, -32601, "1"},
		{"personal", request("personal_unlockAccount"), 200, -32601, "1"},
		{"anvil", request("anvil_mine"), 200, -32601, "1"},
		{"method in upper case", request("ETH_CHAINID"), 200, -32601, "1"},
		{"escape codes in a method", `{"jsonrpc":"2.0","id":1,"method":"eth_\u0007\u001b[31m"}`, 200, -32601, "1"},
		{"a method that ends the string", `{"jsonrpc":"2.0","id":1,"method":"eth_call\",\"x\":\""}`, 200, -32601, "1"},
		{"an endless method", request("eth_" + strings.Repeat("x", 1000)), 200, -32601, "1"},
		{"a method nobody has", request("eth_foo"), 200, -32601, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := r.call(c.body)
			if got.Error == nil || got.status != c.status || got.Error.Code != c.code || string(got.ID) != c.id || got.Version != "2.0" {
				t.Errorf("%+v %+v, want %d, %d, id %s", got, got.Error, c.status, c.code, c.id)
			}
			if got.Error != nil && (got.Error.Message == "" || len(got.Error.Message) > 300 || strings.ContainsAny(got.Error.Message, "\x1b\x07")) {
				t.Errorf("message %q", got.Error.Message)
			}
		})
	}
	for _, s := range r.set.Status() {
		if s.Failures > 0 {
			t.Errorf("a client's mistake was counted against %s: %s", s.Name, s.LastError)
		}
	}
}

// One client sends a large body slowly: another large one finds no room and is refused at
// once, small ones are answered, and with the first its room is free again. Alone, a
// request may take more than there is.
func TestLargeBodiesHaveABoundTogether(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_bodies": "1MiB", "api.max_body": "2MiB", "api.max_batch": "10000"}})
	held := func() float64 { return r.metric("bizra_bodies_in_flight_bytes") }
	large := strings.Replace(request("eth_call", strings.Repeat("x", 600_000)), "eth_call", "eth_accounts", 1)
	in, out := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		resp, err := r.client.Post(r.url, "application/json", in)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	if _, err := io.WriteString(out, large[:500_000]); err != nil {
		t.Fatal(err)
	}
	r.await("the first body to take its room", func() bool { return held() > 1<<20 })
	for _, body := range []string{large, "[" + strings.Repeat(request("eth_accounts")+",", 1000) + request("eth_accounts") + "]"} {
		a := r.send("POST", "/", body)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), "api.max_bodies") {
			t.Errorf("%d %.200s", a.status, a.body)
		}
	}
	if a := r.send("POST", "/v1/validations", large); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %.200s", a.status, a.body)
	}
	if got := r.call(request("eth_chainId")); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
	if _, err := io.WriteString(out, large[500_000:]); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if status := <-answered; status != http.StatusOK {
		t.Errorf("%d", status)
	}
	r.await("its room to be free", func() bool { return held() == 0 })
	if got := r.call(large); got.status != http.StatusOK || r.metric("bizra_http_shed_total") != 3 {
		t.Errorf("%d, %.0f were shed", got.status, r.metric("bizra_http_shed_total"))
	}
}

// A body that does not say its length was counted as if its buffer doubled, but append
// makes it grow faster: up to a quarter was missing, depending on the buffer kept from the
// request before.
func TestALargeBodyIsCountedWhateverBufferItBeganWith(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_bodies": "8MiB", "api.max_body": "2MiB"}})
	held := func() float64 { return r.metric("bizra_bodies_in_flight_bytes") }
	const sent, kept, copies = 500_000, 64 << 10, 3
	for before := 5_000; before < kept; before += 7_000 {
		if got := r.call(request("eth_accounts", strings.Repeat("x", before))); got.status != http.StatusOK {
			t.Fatalf("%d", got.status)
		}
		in, out := io.Pipe()
		answered := make(chan error, 1)
		go func() {
			resp, err := r.client.Post(r.url, "application/json", in)
			if err == nil {
				err = resp.Body.Close()
			}
			answered <- err
		}()
		if _, err := io.WriteString(out, `"`+strings.Repeat("x", sent)); err != nil {
			t.Fatal(err)
		}
		r.await(fmt.Sprintf("%d bytes in a buffer that had %d to be counted", sent, before), func() bool { return held() >= copies*(sent-kept) })
		_ = out.Close()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		r.await("its room to be free", func() bool { return held() == 0 })
	}
}

func TestNotificationsAreNotAnswered(t *testing.T) {
	r := start(t, options{})
	for _, body := range []string{
		`{"jsonrpc":"2.0","method":"eth_chainId"}`, `{"jsonrpc":"2.0","method":"debug_foo"}`,
		`[{"jsonrpc":"2.0","method":"eth_chainId"},{"jsonrpc":"2.0","method":"eth_blockNumber"}]`,
	} {
		if a := r.send("POST", "/", body); a.status != http.StatusNoContent || len(a.body) != 0 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}

func TestIdsAreEchoedExactly(t *testing.T) {
	r := start(t, options{})
	for _, id := range []string{`"a"`, `""`, `"é\u00e9<&>\" "`, "0", "-1", "1.50", "123456789012345678901234567890", "1e3", "-2.5E-3", "null"} {
		for _, method := range []string{"eth_chainId", "eth_accounts"} {
			a := r.send("POST", "/", fmt.Sprintf(`{"id": %s ,"jsonrpc":"2.0","method":%q}`, id, method))
			if want := `{"jsonrpc":"2.0","id":` + id + `,`; !strings.HasPrefix(string(a.body), want) || !json.Valid(a.body) {
				t.Errorf("%s: %s", id, a.body)
			}
		}
	}
}

// A number that no double holds was echoed as an id, with HTTP 200. In a batch the member
// alone is refused.
func TestAnIDThatNoDoubleHoldsIsRefused(t *testing.T) {
	r := start(t, options{})
	const endless = `{"jsonrpc":"2.0","id":1e1000000,"method":"eth_chainId"}`
	if a := r.send("POST", "/", endless); a.status != http.StatusBadRequest || strings.Contains(string(a.body), "1e1000000") {
		t.Errorf("%d %s", a.status, a.body)
	}
	var members []rpc
	a := r.send("POST", "/", "["+endless+","+request("eth_chainId")+"]")
	if err := json.Unmarshal(a.body, &members); err != nil || len(members) != 2 || members[0].Error == nil || members[0].Error.Code != -32600 || members[1].Error != nil {
		t.Errorf("%v %d %s", err, a.status, a.body)
	}
}

func TestBatchesKeepTheirOrder(t *testing.T) {
	r := start(t, options{})
	var members []string
	for i := range 40 {
		switch i % 4 {
		case 0:
			members = append(members, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"eth_getBlockByNumber","params":["0x%x",false]}`, i, i%12))
		case 1:
			members = append(members, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"eth_accounts"}`, i))
		case 2:
			members = append(members, `{"jsonrpc":"2.0","method":"eth_chainId"}`) // not answered
		default:
			members = append(members, `7`)
		}
	}
	a := r.send("POST", "/", " ["+strings.Join(members, ",\n")+"] ")
	var got []rpc
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 || len(got) != 30 {
		t.Fatalf("%d %v %d %s", a.status, err, len(got), a.body)
	}
	for i, m := range got {
		group := i / 3 * 4
		switch i % 3 {
		case 0:
			var b struct{ Number string }
			if json.Unmarshal(m.Result, &b) != nil || string(m.ID) != fmt.Sprint(group) || b.Number != fmt.Sprintf("0x%x", group%12) {
				t.Errorf("member %d: id %s, %s", i, m.ID, m.Result)
			}
		case 1:
			if string(m.ID) != fmt.Sprint(group+1) || m.Error == nil || m.Error.Code != -32601 {
				t.Errorf("member %d: id %s, %+v", i, m.ID, m.Error)
			}
		default:
			if string(m.ID) != "null" || m.Error == nil || m.Error.Code != -32600 {
				t.Errorf("member %d: id %s, %+v", i, m.ID, m.Error)
			}
		}
	}
}

func TestSubjectsNobodyKnows(t *testing.T) {
	r := start(t, options{})
	for _, path := range []string{"/v1/transactions/" + nobody, "/v1/blocks/" + nobody, "/v1/blocks/99999"} {
		v, a := r.verdict(path)
		if a.status != http.StatusNotFound || v.Outcome != validation.NotFound {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestWrongChecksumIsInvalid(t *testing.T) {
	r := start(t, options{})
	right := r.net.Chain.Accounts()[0]
	wrong := []byte(right)
	for i, c := range wrong[2:] {
		if c >= 'a' && c <= 'f' {
			wrong[i+2] = c - 'a' + 'A'
			break
		}
	}
	v, a := r.verdict("/v1/addresses/" + string(wrong))
	if a.status != 200 || v.Outcome != validation.Invalid || !strings.HasPrefix(v.Reason, "eip55: ") || !strings.Contains(v.Reason, right) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, text := range []string{right, strings.ToLower(right), "0X" + strings.ToUpper(right[2:])} {
		if v, a := r.verdict("/v1/addresses/" + text); v.Outcome != validation.Valid || v.Subject != right {
			t.Errorf("%s: %s", text, a.body)
		}
	}
	for subject, outcome := range map[string]validation.Outcome{string(wrong): "invalid", right: "valid"} {
		got := r.listed("?subject=" + subject)
		if len(got) == 0 {
			t.Errorf("the ledger lists nothing for %s", subject)
		}
		for _, v := range got {
			if v.Outcome != outcome || v.Subject != subject {
				t.Errorf("%s finds %s, %s", subject, v.Subject, v.Outcome)
			}
		}
	}
}

// listed reads the ledger through the API.
func (r *rig) listed(query string) []validation.Verdict {
	r.Helper()
	a := r.get("/v1/validations" + query)
	var out struct{ Validations []validation.Verdict }
	if err := json.Unmarshal(a.body, &out); err != nil || a.status != 200 || out.Validations == nil {
		r.Errorf("%s: %d %s", query, a.status, a.body)
	}
	return out.Validations
}

// A body of a hundred thousand values took eighty times the memory of its bytes before
// it was refused.
func TestABodyOfTooManyValuesIsNotParsed(t *testing.T) {
	r := start(t, options{})
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"a batch":          {"[" + strings.Repeat("1,", 30_000) + "1]", http.StatusRequestEntityTooLarge},
		"parameters":       {request("eth_call", make([]int, 30_000)), http.StatusRequestEntityTooLarge},
		"empty lists":      {request("eth_call", slices.Repeat([]any{[]int{}}, 15_000)), http.StatusRequestEntityTooLarge},
		"commas in a text": {request("eth_chainId", strings.Repeat(",", 30_000)), http.StatusOK},
	} {
		got := r.send(http.MethodPost, "/", c.body)
		if got.status != c.status || c.status != http.StatusOK && !strings.Contains(string(got.body), "too many values") {
			t.Errorf("%s: %d %.200s", name, got.status, got.body)
		}
	}
}
