package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/bizra/bizra-top/node/files"
)

// discover finds the chain, and remembers it in a file: a node that starts while no
// provider answers goes on with the chain of its last run, and what it knows of it.
func (n *Node) discover(ctx context.Context, path string) (uint64, error) {
	id, err := n.upstreams.Discover(ctx)
	if err == nil {
		if err := rememberChain(path, id); err != nil {
			n.event("upstream", "warn", "chain", "the chain is not remembered for the next start: "+err.Error())
		}
		return id, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0, err
	}
	id, fileErr := rememberedChain(path)
	if errors.Is(fileErr, fs.ErrNotExist) {
		return 0, err
	} else if fileErr != nil {
		return 0, errors.Join(err, fmt.Errorf("nor is the chain of the last run known: %w", fileErr))
	}
	n.upstreams.Assume(id)
	n.event("upstream", "warn", "chain", fmt.Sprintf("%v; going on with chain %d, that of the last run", err, id))
	return id, nil
}

// maxChain bounds the file that a chain is remembered in.
const maxChain = 64

func rememberChain(path string, id uint64) error {
	f, err := files.OpenState(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatUint(id, 10))
	return errors.Join(err, f.Close())
}

// rememberedChain reads the chain of the last run. A damaged file is set aside.
func rememberedChain(path string) (uint64, error) {
	text, err := files.ReadState(path, maxChain)
	if err != nil && !errors.Is(err, files.ErrTooLarge) {
		return 0, err
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err == nil && id > 0 {
		return id, nil
	}
	aside, err := files.SetAside(path)
	if err != nil {
		return 0, fmt.Errorf("%s is damaged, and %w", path, err)
	}
	return 0, fmt.Errorf("%s was damaged and is set aside as %s; set upstream.chain_id", path, aside)
}
