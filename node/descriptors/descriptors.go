// Package descriptors divides the file descriptors that the process may have. Clients
// and providers get a share each that they cannot exceed; the rest is kept for the
// control socket, the ledger, the history and whatever else must go on while strangers
// take all they can get.
package descriptors

import "syscall"

const (
	// mostClients is how many connections are served where descriptors are plenty: each
	// takes some 50 KiB of memory, the kernel's included.
	mostClients = 4096
	// mostProviders is the same for connections to providers.
	mostProviders = 4096
	// leastKept is for ledger, control socket and a history of some weeks, whose blocks are
	// files too: half of all where there are few. A quarter of all is kept where that is
	// more.
	leastKept = 128
	// unknown is taken where the limit cannot be read: POSIX systems begin with it.
	unknown = 256
)

// Limit returns how many descriptors the process may have open.
func Limit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return unknown
	}
	return int(min(l.Cur, 1<<30))
}

// Clients returns how many connections of clients there may be: two thirds of what is
// not kept.
func Clients() int { return clients(Limit()) }

func clients(limit int) int { return max(8, min(mostClients, (limit-kept(limit))*2/3)) }

// Providers returns how many connections to all providers there may be: the other third.
func Providers() int { return providers(Limit()) }

func providers(limit int) int { return max(4, min(mostProviders, (limit-kept(limit))/3)) }

func kept(limit int) int { return max(min(leastKept, limit/2), limit/4) }
