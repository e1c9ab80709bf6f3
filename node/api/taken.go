package api

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/validation"
)

// wholeBlock is how the keys of blocks begin that prove themselves: those asked for by
// hash, with their transactions.
const wholeBlock, wholeBlockEnd = `eth_getBlockByHash["`, `",true]`

// provable says whether an answer under a cache key proves itself by the key.
func provable(key string) bool {
	return strings.HasPrefix(key, wholeBlock) && strings.HasSuffix(key, wholeBlockEnd)
}

// proves says whether an answer that somebody else kept under a provable key is true.
func proves(v *validation.Validator) func(key string, body []byte) bool {
	return func(key string, body []byte) bool {
		return v.ProvesBlock(context.Background(), key[len(wholeBlock):len(key)-len(wholeBlockEnd)], json.RawMessage(body))
	}
}

const (
	// answerFactor and verdictFactor are how many bytes a load holds for each byte that a
	// provider answers: a verdict decodes them, and writes them again as RLP to hash them.
	answerFactor  = 1
	verdictFactor = 3
)

// counted is a loader whose answers count in the budget while it runs.
func counted(b *memory.Budget, factor int64, load cache.Loader) cache.Loader {
	return func(ctx context.Context) (cache.Loaded, error) {
		share := b.Share(factor)
		defer share.Release()
		return load(memory.With(ctx, share))
	}
}
