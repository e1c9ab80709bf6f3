package api

import "strings"

// sends says whether a method is a write, which is not made twice: it sends a transaction,
// or work, or takes one back. All others are reads.
func sends(method string) bool {
	for _, start := range []string{"eth_send", "eth_submit", "eth_resend", "eth_cancel"} {
		if strings.HasPrefix(method, start) {
			return true
		}
	}
	return false
}

// sendRaw is the write that may be made many times: a transaction is the same wherever it
// is sent.
const sendRaw = "eth_sendRawTransaction"
