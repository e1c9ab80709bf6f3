package validation

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bizra/bizra-top/node/printable"
)

// InputError says what is malformed about something a client asked for.
type InputError struct {
	Field  string // "hash", "block" or "address"
	Reason string
}

func (e *InputError) Error() string { return e.Field + ": " + e.Reason }

func malformed(field, text, want string) error {
	return &InputError{field, fmt.Sprintf("%q is not %s", printable.Clean(text, 80), want)}
}

// ParseHash reads a 32-byte hash and returns its canonical form: 0x and 64
// lower-case digits.
func ParseHash(text string) (string, error) {
	if !isHex(text, 64) {
		return "", malformed("hash", text, "a hash: 0x and 64 hex digits")
	}
	return "0x" + strings.ToLower(text[2:]), nil
}

// BlockID names a block: by hash, by a tag, or else by number.
type BlockID struct {
	Hash   string // canonical; empty when not by hash
	Tag    string // "latest", "safe" or "finalized"; empty when not by tag
	Number uint64
}

// String returns the canonical form: a hash, a tag, or a decimal number.
func (id BlockID) String() string {
	switch {
	case id.Hash != "":
		return id.Hash
	case id.Tag != "":
		return id.Tag
	}
	return strconv.FormatUint(id.Number, 10)
}

// ParseBlockID reads a block number, decimal or 0x-hex, a 32-byte hash, or one
// of the tags latest, safe, finalized and earliest (which is number 0).
func ParseBlockID(text string) (BlockID, error) {
	const want = "a block: a number, 0x and 64 hex digits, latest, safe or finalized"
	switch tag := strings.ToLower(text); tag {
	case "latest", "safe", "finalized":
		return BlockID{Tag: tag}, nil
	case "earliest":
		return BlockID{}, nil
	}
	if isHex(text, 64) {
		hash, err := ParseHash(text)
		return BlockID{Hash: hash}, err
	}
	digits, base := text, 10
	if strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X") {
		digits, base = text[2:], 16
	}
	// ParseUint takes a sign and underscores in no case with an explicit base;
	// a length beyond 20 digits cannot be a block number.
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil || len(digits) > 20 {
		return BlockID{}, malformed("block", text, want)
	}
	return BlockID{Number: n}, nil
}

// Address is an account's address as a client gave it.
type Address struct {
	common.Address
	given    string
	checksum checksum
}

type checksum int

const (
	checksumNone checksum = iota
	checksumRight
	checksumWrong
)

// ChecksumHolds is false for an address in mixed case whose case is wrong: most
// likely a typing error. Its verdict is always invalid.
func (a Address) ChecksumHolds() bool { return a.checksum != checksumWrong }

// String returns the canonical form, which is the EIP-55 form; an address whose
// checksum is wrong stays as it was given, so that it never shares a cache key
// with the right one.
func (a Address) String() string {
	if a.checksum == checksumWrong {
		return a.given
	}
	return a.Hex()
}

// ParseAddress reads a 20-byte address. A wrong EIP-55 checksum is not an
// error here; see [Address.ChecksumHolds].
func ParseAddress(text string) (Address, error) {
	if !isHex(text, 40) {
		return Address{}, malformed("address", text, "an address: 0x and 40 hex digits")
	}
	a := Address{Address: common.HexToAddress(text), given: "0x" + text[2:]}
	switch digits := text[2:]; {
	case digits == strings.ToLower(digits), digits == strings.ToUpper(digits):
		a.checksum = checksumNone
	case digits == a.Hex()[2:]:
		a.checksum = checksumRight
	default:
		a.checksum = checksumWrong
	}
	return a, nil
}

func isHex(text string, digits int) bool {
	if len(text) != digits+2 || text[0] != '0' || (text[1] != 'x' && text[1] != 'X') {
		return false
	}
	for _, c := range []byte(text[2:]) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// hexNumber is a number as JSON-RPC wants it.
func hexNumber(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }

func decimal(n *big.Int) string {
	if n == nil {
		return "0"
	}
	return n.String()
}
