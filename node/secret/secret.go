// Package secret hides what must not be shown: passwords and keys of addresses, in every
// form in which they travel, in whatever text another program quotes them.
//
// A provider that refuses a request may quote the Authorization header, in base64; a
// driver quotes an address with its password escaped; an error in JSON has a quote in it
// escaped. Each form is known beforehand, so that no text has to be understood.
package secret

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

const (
	// Hidden stands where a secret was.
	Hidden = "[secret]"
	// shortest is the least length of a secret: shorter ones are in every text.
	shortest = 4
	// keyLength is from when on a part of a path or a user's name may be a key.
	keyLength = 8
)

// Mask hides some secrets. It may be used from any goroutine; a nil mask hides nothing.
type Mask struct{ replacer *strings.Replacer }

// InURL returns a mask of what is secret in an address: user and password, the whole
// path and those parts of it that are long enough to be keys, and the query.
func InURL(u *url.URL) *Mask {
	var secrets []string
	add := func(least int, texts ...string) {
		for _, s := range texts {
			if len(s) >= least {
				secrets = append(secrets, s)
			}
		}
	}
	add(shortest, u.Path, u.RawQuery)
	for _, values := range u.Query() {
		add(shortest, values...)
	}
	add(keyLength, strings.Split(u.Path, "/")...)
	user := u.User.Username()
	password, withPassword := u.User.Password()
	add(keyLength, user)
	if withPassword {
		add(shortest, password)
	}
	if u.User != nil { // as the Authorization header has it, RFC 7617
		add(shortest, user+":"+password)
	}
	return Of(secrets...)
}

// Of returns a mask of secrets, each in every form in which it may travel.
func Of(secrets ...string) *Mask {
	var forms []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted, _ := json.Marshal(s) // a string: it cannot fail
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), (&url.URL{Path: s}).EscapedPath(),
			strings.Trim(string(quoted), `"`), plain(s), hex.EncodeToString([]byte(s)))
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			forms = append(forms, e.EncodeToString([]byte(s)))
		}
	}
	forms = slices.DeleteFunc(forms, func(s string) bool { return len(s) < shortest })
	// The longest first: a part must not be taken out of a whole.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	var pairs []string
	for _, s := range slices.Compact(forms) {
		pairs = append(pairs, s, Hidden)
	}
	return &Mask{strings.NewReplacer(pairs...)}
}

// plain is JSON's form of a string without the escapes for HTML.
func plain(s string) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string into memory: it cannot fail
	return strings.Trim(strings.TrimSpace(out.String()), `"`)
}

// Text returns a text without the secrets.
func (m *Mask) Text(s string) string {
	if m == nil {
		return s
	}
	return m.replacer.Replace(s)
}

// JSON returns a JSON value whose strings are without the secrets. Hexadecimal data are
// no text and stay as they are: digits that happen to be those of a secret are a part of
// what the chain says.
func (m *Mask) JSON(value json.RawMessage) json.RawMessage {
	if m == nil || len(value) == 0 || m.replacer.Replace(string(value)) == string(value) {
		return value
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil // it was no JSON
	}
	out, err := json.Marshal(m.walk(v))
	if err != nil {
		return nil
	}
	return out
}

func (m *Mask) walk(v any) any {
	switch v := v.(type) {
	case string:
		if isHex(v) {
			return v
		}
		return m.Text(v)
	case []any:
		for i := range v {
			v[i] = m.walk(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, member := range v {
			clean[m.Text(name)] = m.walk(member)
		}
		return clean
	}
	return v
}

func isHex(s string) bool {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return false
	}
	for _, c := range []byte(digits) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}
