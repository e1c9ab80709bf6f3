// Package addressspace ends the program with a sentence where a limit on the address space
// (ulimit -v) is so low that the Go runtime would end it with a dump of its stacks: it
// reserves much more of it than it uses. Importing the package is all. It imports next to
// nothing, so that it is initialised before what needs memory. Under some 900 MB the runtime
// itself does not start, which no program can say in its own words.
package addressspace

import "syscall"

// least is what a node and its screen reserve under load, with as much again to spare.
const least = 4 << 30

func init() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_AS, &limit) != nil || limit.Cur >= least {
		return
	}
	const text = "bizra-top: the address space of this process is limited (ulimit -v) to less than the 4194304 KB that are reserved, most of it never used: raise it with ulimit -v unlimited, and limit memory with GOMEMLIMIT, MemoryMax or a cgroup instead\n"
	_, _ = syscall.Write(2, []byte(text)) // nobody else hears of it
	syscall.Exit(1)
}
