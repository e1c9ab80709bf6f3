package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/secret"
)

// A provider that quoted the Authorization header sent the password on in base64. Each
// form in which a secret may travel is hidden.
func TestSecretsAreHiddenInEveryForm(t *testing.T) {
	u, err := url.Parse(`https://alice-the-admin:p%40ss%2Fw%22%3Crd@host/v3/key-of-the-path?token=t%26ken`)
	if err != nil {
		t.Fatal(err)
	}
	m := secret.InURL(u)
	const user, password = "alice-the-admin", `p@ss/w"<rd`
	quoted, _ := json.Marshal(password)
	for name, said := range map[string]string{
		"raw":               "got " + password,
		"escaped":           "got " + u.User.String(),
		"query escaped":     url.QueryEscape(password),
		"JSON":              string(quoted),
		"JSON without HTML": `p@ss/w\"<rd`,
		"basic":             "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)),
		"basic, URL":        base64.URLEncoding.EncodeToString([]byte(user + ":" + password)),
		"basic, raw":        base64.RawStdEncoding.EncodeToString([]byte(user + ":" + password)),
		"password alone":    base64.StdEncoding.EncodeToString([]byte(password)),
		"path":              "no such key: key-of-the-path",
		"path, escaped":     "/v3/key-of-the-path",
		"token":             "token t&ken",
		"query":             "token=t%26ken",
	} {
		got := m.Text(said)
		if !strings.Contains(got, secret.Hidden) {
			t.Errorf("%s: %q", name, got)
		}
		for _, s := range []string{password, "key-of-the-path", "t&ken", base64.RawStdEncoding.EncodeToString([]byte(user + ":" + password))} {
			if strings.Contains(got, s) {
				t.Errorf("%s: %q shows %q", name, got, s)
			}
		}
	}
}

// The digits of a secret in what the chain says are no secret.
func TestHexDataAreNotTouched(t *testing.T) {
	u, _ := url.Parse("https://user:abcd1234@host/")
	m := secret.InURL(u)
	in := `{"data":"0x08c379a0abcd1234","text":"password abcd1234","n":12345678901234567890,"list":["0xabcd1234",null,true]}`
	want := `{"data":"0x08c379a0abcd1234","list":["0xabcd1234",null,true],"n":12345678901234567890,"text":"password [secret]"}`
	if got := string(m.JSON(json.RawMessage(in))); got != want {
		t.Errorf("%s", got)
	}
	for _, same := range []string{`"0x00"`, `{"a" : 1}`, `null`, ``} {
		if got := string(m.JSON(json.RawMessage(same))); got != same {
			t.Errorf("%s became %s", same, got)
		}
	}
	if got := string(m.JSON(json.RawMessage(`"0xabcd1234"`))); got != `"0xabcd1234"` {
		t.Errorf("%s", got)
	}
}

func TestWithoutSecretsNothingIsHidden(t *testing.T) {
	u, _ := url.Parse("http://127.0.0.1:8545")
	for _, m := range []*secret.Mask{secret.InURL(u), nil} {
		if got := m.Text("dial tcp 127.0.0.1:8545"); got != "dial tcp 127.0.0.1:8545" {
			t.Error(got)
		}
	}
}
