package validation

import (
	"context"
	"errors"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/settings"
)

var shapes = []string{
	`null`, `7`, `"x"`, `[]`, `{}`, `[null]`, `{"hash":null}`, `[[[[[[[[]]]]]]]]`,
	`{"type":"0x0","nonce":"0x0","to":null,"gas":"0x5208","gasPrice":"0x1","value":"0x1","input":"0x","v":"0x1c","r":"0x1","s":"0x1","hash":"0x1212121212121212121212121212121212121212121212121212121212121212","from":"0x1212121212121212121212121212121212121212"}`,
	`{"type":"0x2","chainId":"0x0","nonce":"0x0","to":null,"gas":"0x5208","maxFeePerGas":"0x1","maxPriorityFeePerGas":"0x1","value":"0x1","input":"0x","accessList":[],"v":"0x1","r":"0x1","s":"0x1"}`,
	`{"type":"0x4","chainId":"0x1","nonce":"0x0","to":"0x1212121212121212121212121212121212121212","gas":"0x1","maxFeePerGas":"0x1","maxPriorityFeePerGas":"0x1","value":"0x1","input":"0x","accessList":[null],"authorizationList":[null],"yParity":"0x0","r":"0x1","s":"0x1"}`,
	`{"type":"0x7e","hash":"0x1212121212121212121212121212121212121212121212121212121212121212"}`,
	`[{"type":"0x0","status":"0x1","cumulativeGasUsed":"0x1","logsBloom":null,"logs":[null]}]`,
	`{"accountProof":[null,"0x","0xc0","0x80"],"balance":"0x0","nonce":"0x0","codeHash":"0x1212121212121212121212121212121212121212121212121212121212121212","storageHash":"0x1212121212121212121212121212121212121212121212121212121212121212"}`,
	`{"parentHash":"0x1212121212121212121212121212121212121212121212121212121212121212","sha3Uncles":"0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347","miner":"0x1212121212121212121212121212121212121212","stateRoot":"0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421","transactionsRoot":"0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421","receiptsRoot":"0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421","logsBloom":"0x00","difficulty":"0x0","number":"0xffffffffffffffffff","gasLimit":"0x1","gasUsed":"0x0","timestamp":"0x0","extraData":"0x","hash":"0x1212121212121212121212121212121212121212121212121212121212121212","transactions":[null],"withdrawals":[null]}`,
}

func FuzzDecoders(f *testing.F) {
	for _, s := range shapes {
		f.Add([]byte(s))
	}
	q := newInquiry(f.Context(), New(nowhere{}, 1, Declare(settings.NewRegistry()), nil), KindBlock, "")
	want := common.HexToHash("0x1212121212121212121212121212121212121212121212121212121212121212")
	f.Fuzz(func(t *testing.T, raw []byte) {
		// Nothing made up hashes to 0x12…12; what is not refused must be foreign.
		var other *foreign
		if b, err := q.judgeBlock(raw, want); err == nil {
			t.Errorf("a block was believed: %+v", b)
		} else if errors.As(err, &other) && b.headForeign == "" {
			t.Errorf("the hash of a block was believed: %v", err)
		}
		if tx, err := q.judge.transaction(raw, want); err == nil || errors.Is(err, errPending) && tx.tx != nil {
			t.Errorf("a transaction was believed: %+v", tx)
		}
		if a, err := judgeAccount(raw, common.Address(want[:20]), want); err == nil {
			t.Errorf("an account was believed: %+v", a)
		}
		if r, err := judgeReceipts(raw, blockAnswer{headerAnswer: headerAnswer{Header: new(types.Header), hash: want}, count: 1}); err == nil {
			t.Errorf("receipts were believed: %+v", r)
		}
		_, _ = decodeNumber(raw)
		_ = isNull(raw)
	})
}

func FuzzInput(f *testing.F) {
	f.Add("latest")
	f.Add("0x1212121212121212121212121212121212121212121212121212121212121212")
	f.Add("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := ParseBlockID(text); err == nil {
			if again, err := ParseBlockID(id.String()); err != nil || again != id {
				t.Errorf("%q: %v is not canonical", text, id)
			}
		}
		if h, err := ParseHash(text); err == nil {
			if again, err := ParseHash(h); err != nil || again != h {
				t.Errorf("%q: %v is not canonical", text, h)
			}
		}
		if a, err := ParseAddress(text); err == nil {
			if again, err := ParseAddress(a.String()); err != nil || again.String() != a.String() || again.ChecksumHolds() != a.ChecksumHolds() {
				t.Errorf("%q: %v is not canonical", text, a)
			}
		}
	})
}

// nowhere is a source without providers.
type nowhere struct{}

func (nowhere) Call(context.Context, string, ...any) (Answer, error) {
	return Answer{}, errors.New("nobody")
}
func (nowhere) CallEach(context.Context, int, string, ...any) []Answer { return nil }
func (nowhere) Providers() int                                         { return 3 }

func (nowhere) Distrust(string, string) {}
