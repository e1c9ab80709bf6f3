// Package handover passes a service from one process to the next without losing a
// request: listening sockets, idle connections, and what else only one process may
// have.
//
// # The order
//
//  1. [Start] runs the program anew, with the listening sockets and one end of a
//     conversation. The old process serves on.
//  2. The new one prepares all that two may have at once and says so ([Predecessor.Ready]).
//     If it does not within a deadline, or ends, it is given up and nothing has happened.
//  3. The old one stops accepting. The sockets stay open, so connections wait in the
//     kernel's queue. It finishes what is under way, gives away idle connections
//     ([Listener.Drain]) and closes what is exclusive.
//  4. It says "yours" ([Successor.Yield]) and waits. The new one opens what is
//     exclusive, accepts, and says so ([Predecessor.Serving]); the old one ends. If
//     that fails the new one is killed and the old one opens everything again.
//
// # Idle connections
//
// A server that closes an idle connection may do so just when a request is on its
// way, and a client must not repeat a POST by itself. So they are not closed: a
// connection on which nothing was read since its last answer goes to the new process
// as it is, with what the kernel has received on it meanwhile. One that is in use
// is answered with "Connection: close".
//
// # Why not tableflip
//
// cloudflare/tableflip was weighed. Its order would do: the new process can be ready
// and then wait for its parent's end. But the parent must end before the exclusive
// parts can be opened, so that a start which fails then leaves nobody; and there is
// no way to pass connections and values.
package handover
