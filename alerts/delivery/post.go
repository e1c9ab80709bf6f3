package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/secret"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// maxRetryAfter bounds how long a receiver may put the next attempt off.
const maxRetryAfter = 10 * time.Minute

// newBackoff paces attempts at one receiver: 1, 2, 4 … 60 s, each give or take
// half. It never gives up: what is sent is always the newest state, so the queue
// does not grow.
func newBackoff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{InitialInterval: time.Second, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: time.Minute}
	b.Reset()
	return b
}

// newClient returns the client of every receiver. Redirects are followed within
// a host only, and only those that repeat the request: one that would turn it
// into a GET would pass for a delivery.
func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || r.Method != http.MethodPost || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

func newTransport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: 64 << 10, DisableCompression: true}
}

// post sends one body. The error never shows the address. It is a
// [backoff.PermanentError] when trying again is of no use, and wraps a
// [backoff.RetryAfterError] when the receiver says when to.
func post(ctx context.Context, client *http.Client, address string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(errors.New("the address cannot be used"))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "bizra-top")
	// Receivers quote the token or the Authorization header that they refuse.
	shown := func(text string) string { return printable.Clean(secret.InURL(req.URL).Text(text), 200) }
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("no answer: %s", shown(err.Error()))
	}
	defer resp.Body.Close()
	// The rest is read so that the connection can be used again; a receiver that
	// hangs in its body has taken the message all the same.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("answered %d: %s", resp.StatusCode, shown(string(answer)))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode/100 == 5:
		if wait, ok := retryAfter(resp.Header.Get("Retry-After")); ok {
			return fmt.Errorf("%w (%w)", err, &backoff.RetryAfterError{Duration: wait})
		}
		return err
	case resp.StatusCode/100 == 3:
		return backoff.Permanent(fmt.Errorf("answered %d: it redirects elsewhere, which is not followed; set the address it redirects to", resp.StatusCode))
	}
	return backoff.Permanent(err)
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(header string) (time.Duration, bool) {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = time.Until(at)
	} else {
		return 0, false
	}
	return min(max(wait, 0), maxRetryAfter), true
}
